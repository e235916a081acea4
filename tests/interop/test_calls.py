"""Calls that one end sends and the other runs: arguments, options, results, errors."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.interop.ends import Ends
from tests.worker.process import wait_until
from umbel.errors import TaskRevokedError

pytestmark = [pytest.mark.server, pytest.mark.slow]

COMPRESSIONS = ["gzip", "zlib", "bzip2", "lzma", "xz", "brotli", "zstd", "zstandard"]


class TestFromCelery:
    """Celery's client, umbel's worker."""

    def call(self, ends: Ends, name: str, args: str = "()", more: str = "") -> Any:
        """What the client gets of the call."""
        code = f"result = {name}.apply_async({args}, queue={ends.queues['umbel']!r}{more})\nresult.get(timeout=60)"
        return ends.celery(code)

    def test_arguments_and_headers_arrive(self, ends: Ends) -> None:
        seen = self.call(
            ends, "look", "(1, 'é')", ", kwargs={'k': [None]}, headers={'mine': 7}, task_id='own-' + QUEUE"
        )
        assert (seen["end"], seen["args"], seen["kwargs"], seen["mine"]) == ("umbel", [1, "é"], {"k": [None]}, 7)
        assert seen["id"] == seen["correlation_id"] == seen["root_id"] == f"own-{ends.queues['celery']}"

    def test_values_of_every_json_type_come_back(self, ends: Ends) -> None:
        code = f"""
import datetime, decimal, uuid
value = [datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), decimal.Decimal("1.5"), uuid.UUID(int=5), b"x"]
echo.apply_async((value,), queue={ends.queues["umbel"]!r}).get(timeout=60) == value
"""
        assert ends.celery(code) is True

    @pytest.mark.parametrize("serializer", ["json", "msgpack", "pickle", "yaml"])
    def test_serializers(self, ends: Ends, serializer: str) -> None:
        assert self.call(ends, "add", "([1], [2.5])", f", serializer={serializer!r}") == [1, 2.5]

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_compressions(self, ends: Ends, compression: str) -> None:
        assert self.call(ends, "add", "('x' * 5000, 'y')", f", compression={compression!r}") == "x" * 5000 + "y"

    @pytest.mark.parametrize(
        ("way", "info"),
        [
            ("umbel", {"current": 3, "total": 10, "percent": 30.0, "message": "Reading"}),
            ("celery", {"current": 3, "total": 10, "phase": "Reading"}),
        ],
    )
    def test_how_far_a_task_is_is_its_state_and_info(self, ends: Ends, way: str, info: dict[str, Any]) -> None:
        gate = f"counts-{way}"
        code = f"""
result = counts.apply_async(({gate!r}, {way!r}), queue={ends.queues["umbel"]!r})
until = time.monotonic() + 60
while result.state != "PROGRESS" and time.monotonic() < until:
    time.sleep(0.02)
[result.state, result.info, result.ready()]
"""
        assert ends.celery(code, fresh=True) == ["PROGRESS", info, False]
        ends.open(gate)
        assert ends.celery("[result.get(timeout=60), result.state]") == ["all ten", "SUCCESS"]

    def test_a_client_that_waits_is_told_how_far_the_task_is(self, ends: Ends) -> None:
        code = f"""
told = []
def hear(body):
    if body["task_id"] == result.id:  # Celery's client may hear of earlier calls, too, which it asked for directly
        told.append([body["status"], body["result"]])
        (FOLDER / "counts-heard").touch()
result = counts.apply_async(("counts-heard", "umbel"), queue={ends.queues["umbel"]!r})
result.get(timeout=60, on_message=hear)
told
"""
        told = ends.celery(code)
        assert told[0] == ["PROGRESS", {"current": 3, "total": 10, "percent": 30.0, "message": "Reading"}]
        assert told[-1] == ["SUCCESS", "all ten"]

    def test_a_countdown_is_waited_for(self, ends: Ends) -> None:
        code = f"""
began = time.time()
result = add.apply_async((1, 2), queue={ends.queues["umbel"]!r}, countdown=1.2)
time.sleep(2.6)
[result.get(timeout=60), began]
"""
        value, began = ends.celery(code)
        assert value == 3
        assert datetime.now(UTC).timestamp() - began >= 1.2

    def test_what_expires_before_its_time_is_revoked(self, ends: Ends) -> None:
        code = f"""
result = add.apply_async((1, 2), queue={ends.queues["umbel"]!r}, countdown=2, expires=0.7)
time.sleep(2.6)
error = result.get(timeout=60, propagate=False)
[result.state, type(error).__name__, str(error)]
"""
        assert ends.celery(code) == ["REVOKED", "TaskRevokedError", "expired"]

    def test_an_exception_keeps_its_type_its_arguments_and_its_traceback(self, ends: Ends) -> None:
        code = f"""
result = fails.apply_async((1,), queue={ends.queues["umbel"]!r})
error = result.get(timeout=60, propagate=False)
[type(error) is KeyError, error.args, result.state, result.traceback]
"""
        same, args, state, trace = ends.celery(code)
        assert (same, args, state) == (True, ["a", 1], "FAILURE")
        assert trace.startswith("Traceback")
        assert trace.rstrip().endswith("KeyError: ('a', 1)")

    def test_a_state_of_the_tasks_own_is_seen(self, ends: Ends) -> None:
        code = f"""
import pathlib
told = []
result = halfway.apply_async(("half-umbel",), queue={ends.queues["umbel"]!r})
def on_message(meta):
    if meta["task_id"] == result.id:  # Celery's client may hear of earlier calls, too, which it asked for directly
        told.append([meta["status"], meta["result"]])
        (FOLDER / "half-umbel").touch()
[result.get(timeout=60, on_message=on_message), told[0]]
"""
        assert ends.celery(code) == ["whole", ["HALF", {"done": 50}]]

    def test_how_far_a_task_of_celerys_is_is_seen_and_followed(self, ends: Ends) -> None:
        result = ends.send("counts", "counts-back", "celery")
        wait_until(lambda: result.progress.state == "PROGRESS")
        seen = result.progress
        assert (seen.current, seen.total, seen.percent, seen.final) == (3, 10, 30.0, False)
        ends.open("counts-back")
        assert ends.get(result) == "all ten"
        assert (result.progress.state, result.progress.final) == ("SUCCESS", True)

    def test_a_result_that_nobody_wants_is_not_sent(self, ends: Ends) -> None:
        code = f"""
ignored = look.apply_async(("quiet",), queue={ends.queues["umbel"]!r}, ignore_result=True)
add.apply_async((1, 2), queue={ends.queues["umbel"]!r}).get(timeout=60)
[ignored.state, ignored.get()]
"""
        assert ends.celery(code) == ["PENDING", None]

    def test_a_retry_is_finished_by_either(self, ends: Ends) -> None:
        """Its first attempt is umbel's; the next goes to the queue that the task names."""
        assert self.call(ends, "again", f"({ends.queues['celery']!r},)") == ["celery", 1]
        assert self.call(ends, "again", f"({ends.queues['umbel']!r},)") == ["umbel", 1]


class TestFromUmbel:
    """umbel's client, Celery's worker."""

    def call(self, ends: Ends, name: str, *args: Any, **options: Any) -> Any:
        return ends.get(ends.send(name, *args, **options))

    def test_arguments_and_headers_arrive(self, ends: Ends) -> None:
        task_id = f"own-{uuid.uuid4()}"
        queue = ends.queues["celery"]
        result = ends.app.send_task(
            "deeds.look", (1, "é"), {"k": [None]}, queue=queue, headers={"mine": 7}, task_id=task_id
        )
        seen = ends.get(result)
        assert (seen["end"], seen["args"], seen["kwargs"], seen["mine"]) == ("celery", [1, "é"], {"k": [None]}, 7)
        assert seen["id"] == seen["correlation_id"] == seen["root_id"] == task_id

    def test_values_of_every_json_type_come_back(self, ends: Ends) -> None:
        value = [datetime(2026, 1, 2, tzinfo=UTC), uuid.UUID(int=5), b"x"]
        assert self.call(ends, "echo", value) == value

    @pytest.mark.parametrize("serializer", ["json", "msgpack", "pickle", "yaml"])
    def test_serializers(self, ends: Ends, serializer: str) -> None:
        assert self.call(ends, "add", [1], [2.5], serializer=serializer) == [1, 2.5]

    @pytest.mark.parametrize("compression", COMPRESSIONS)
    def test_compressions(self, ends: Ends, compression: str) -> None:
        assert self.call(ends, "add", "x" * 5000, "y", compression=compression) == "x" * 5000 + "y"

    def test_a_countdown_and_an_eta_are_waited_for(self, ends: Ends) -> None:
        due = datetime.now(UTC) + timedelta(seconds=1.2)
        results = [ends.send("add", 1, 2, countdown=1.2), ends.send("add", 1, 2, eta=due)]
        assert [ends.get(result) for result in results] == [3, 3]
        assert datetime.now(UTC) >= due

    def test_what_has_expired_is_revoked(self, ends: Ends) -> None:
        result = ends.send("add", 1, 2, expires=datetime.now(UTC) - timedelta(seconds=1))
        with pytest.raises(TaskRevokedError, match="expired"):
            ends.get(result)
        assert result.state == "REVOKED"

    def test_an_exception_keeps_its_type_its_arguments_and_its_traceback(self, ends: Ends) -> None:
        result = ends.send("fails", 1)
        with pytest.raises(KeyError) as caught:
            ends.get(result)
        assert caught.value.args == ("a", 1)
        assert (result.traceback or "").rstrip().endswith("KeyError: ('a', 1)")

    def test_a_state_of_the_tasks_own_is_seen(self, ends: Ends) -> None:
        result = ends.send("halfway", "half-celery")
        wait_until(lambda: result.state == "HALF")
        assert result.info == {"done": 50}
        ends.open("half-celery")
        assert ends.get(result) == "whole"

    def test_a_result_that_nobody_wants_is_not_sent(self, ends: Ends) -> None:
        quiet = ends.send("tell", "quiet", ignore_result=True)
        ends.noted("tell ['quiet'] celery")
        ends.get(ends.send("add", 1, 2))
        assert ends.app.result(quiet.id).state == "PENDING"

    def test_a_retry_is_finished_by_either(self, ends: Ends) -> None:
        """Its first attempt is Celery's; the next goes to the queue that the task names."""
        assert self.call(ends, "again", ends.queues["umbel"]) == ["umbel", 1]
        assert self.call(ends, "again", ends.queues["celery"]) == ["celery", 1]
