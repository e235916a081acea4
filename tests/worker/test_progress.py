"""Tests of what real workers tell of the tasks that they run, to clients in another process."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.process import PATIENCE, Shop, alive, wait_until
from umbel import bridge
from umbel.errors import TaskRevokedError, UserError
from umbel.progress.flusher import HEARTBEAT, TICK
from umbel.progress.hub import progress_of
from umbel.progress.snapshot import Children, PublicError, Snapshot, Stage
from umbel.result import AsyncResult

ON_SERVERS = [pytest.mark.server, pytest.mark.slow]
STORES = ["sqlite", pytest.param("redis", marks=ON_SERVERS)]
BESIDE = pytest.param("rabbitmq", marks=ON_SERVERS)


@pytest.fixture(params=STORES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    """A shop on each store that keeps progress and is shared between processes; ``rabbitmq`` has Redis beside it."""
    name, url, backend = f"shop-{uuid.uuid4().hex}", None, None
    if request.param != "sqlite":
        url = backend = f"{request.getfixturevalue('redis').url}?global_keyprefix={name}:"
    if request.param == "rabbitmq":
        url = request.getfixturevalue("rabbitmq").url
    made = Shop(tmp_path, url, backend)
    made.environ["UMBEL_TASK_DEFAULT_QUEUE"] = made.app.conf.task_default_queue = name
    yield made
    made.close()


async def watched(result: AsyncResult[Any], until: Callable[[Snapshot], bool] | None = None) -> list[Snapshot]:
    """Every snapshot until the end, or until one of which that is true."""
    seen = []
    async with asyncio.timeout(PATIENCE):
        async for snap in result.watch():
            seen.append(snap)
            if until is not None and until(snap):
                break
    return seen


def shows(result: AsyncResult[Any], condition: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot of which that is true."""
    found: list[Snapshot] = []

    def look() -> bool:
        found[:] = [result.progress]
        return condition(found[0])

    wait_until(look, f"{condition} of {found}")
    return found[0]


@pytest.mark.parametrize("pool", ["processes", "threads", "async", "solo"])
def test_a_task_is_followed_from_the_queue_to_its_final_message(shop: Shop, pool: str) -> None:
    first, result = shop.send("hold", "first", "first"), shop.send("counts", 10, 4)
    assert result.progress == Snapshot(key=result.id, ahead=1)
    shop.worker("-P", pool, "-c", "1")
    shop.go("first")
    assert shop.get(first) == "first"
    snap = shows(result, lambda snap: snap.current == 4)
    assert (snap.state, snap.total, snap.unit, snap.percent) == ("PROGRESS", 10, "things", 40.0)
    assert (snap.message, snap.final, snap.attempt, snap.ahead) == ("Counting", False, 1, None)
    wait_until(lambda: result.state == "PROGRESS")
    shown = {"current": 4, "total": 10, "percent": 40.0, "message": "Counting", "unit": "things"}
    wait_until(lambda: result.info == shown)
    shop.go()
    assert shop.get(result) == 10
    snap = shows(result, lambda snap: snap.final)
    assert (snap.state, snap.current, snap.percent, snap.message) == ("SUCCESS", 10, 100.0, "10 things")
    assert list(snap.links) == [("Look", "/things")]
    assert result.state == "SUCCESS"


async def test_watching_tells_every_change_and_ends_with_the_task(shop: Shop) -> None:
    await asyncio.to_thread(shop.worker, "-c", "1")
    result = await asyncio.to_thread(shop.send, "in_stages")
    first = (await watched(result, lambda snap: snap.stage is not None and bool(snap.log)))[-1]
    assert (first.stage, first.percent, first.log) == (Stage(1, None, "Read"), None, ("reading",))
    shop.go("read")
    await watched(result, lambda snap: snap.stage == Stage(2, None, "Write") and snap.current == 5)
    shop.go("half")
    seen = await watched(result)
    assert (seen[-1].state, seen[-1].percent, seen[-1].final) == ("SUCCESS", 100.0, True)
    assert [snap.final for snap in seen[:-1]] == [False] * (len(seen) - 1)
    assert [snap.seq for snap in seen] == sorted({snap.seq for snap in seen})


def test_stages_count_as_they_did_the_last_time_in_every_runner_and_after_a_restart(shop: Shop) -> None:
    worker = shop.worker("-c", "2")
    first = shop.send("in_stages")
    shows(first, lambda snap: snap.stage is not None and (snap.elapsed or 0) > 1)  # shorter tasks leave no habit
    shop.go("read")
    shop.go("half")
    shop.get(first)
    marks: Any = shop.app.broker
    wait_until(lambda: bridge.get().run(marks.get_marks(["habit:shop.in_stages"])), "the habit is kept")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    (shop.folder / "half").unlink()
    shop.worker("-c", "2")
    for result in (shop.send("in_stages"), shop.send("in_stages")):
        snap = shows(result, lambda snap: snap.current == 5)
        assert (snap.stage, snap.percent) == (Stage(2, 2, "Write"), 62.5)
    shop.go("half")


def test_end_users_read_what_is_meant_for_them_and_a_reference_for_the_rest(shop: Shop) -> None:
    shop.worker("-c", "1")
    result, other = shop.send("says_why"), shop.send("says_why", True)
    with pytest.raises(UserError, match="row 11 is malformed"):
        shop.get(result)
    snap = shows(result, lambda snap: snap.final)
    assert (snap.state, snap.error) == ("FAILURE", PublicError("row 11 is malformed"))
    assert (snap.current, snap.total, snap.percent) == (3, 10, 30.0)
    snap = shows(other, lambda snap: snap.final)
    assert snap.error == PublicError("Something went wrong", other.id[-6:])
    assert "swordfish" not in str(snap.facts())


def test_a_retry_begins_anew_and_says_which_attempt_comes_when(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("tries_again")
    waits = shows(result, lambda snap: snap.state == "RETRY")
    assert (waits.attempt, waits.attempts, waits.percent, waits.final) == (2, 5, None, False)
    assert waits.due is not None
    assert waits.updated is not None
    assert 0 < waits.due - waits.updated <= 2
    again = shows(result, lambda snap: snap.current == 5)
    assert (again.attempt, again.percent, again.due) == (2, 50.0, None)
    shop.go()
    assert shop.get(result) == 1


def test_a_task_that_says_nothing_is_told_of_with_its_usual_time_and_shows_that_it_lives(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("says_nothing")
    snap = shows(result, lambda snap: snap.state == "STARTED")
    assert (snap.percent, snap.usual, snap.current) == (None, None, None)
    shows(result, lambda later: (later.updated or 0) - (snap.updated or 0) >= HEARTBEAT - TICK)
    shop.go()
    shop.get(result)
    again = shop.send("says_nothing", "later")
    snap = shows(again, lambda snap: snap.usual is not None)
    assert snap.usual is not None
    assert snap.usual > HEARTBEAT
    shop.go("later")


@pytest.mark.parametrize("pool", ["processes", "threads", "async", "solo"])
@pytest.mark.parametrize("task", ["never_ends", "anever_ends"])
def test_a_task_that_runs_stops_when_it_is_asked_to_and_its_process_stays(shop: Shop, pool: str, task: str) -> None:
    shop.worker("-P", pool, "-c", "1")
    result = shop.send(task, "it")
    shop.wait_for_note("start it")
    result.cancel()
    with pytest.raises(TaskRevokedError, match="cancelled"):
        shop.get(result)
    snap = shows(result, lambda snap: snap.final)
    assert (snap.state, snap.error) == ("REVOKED", PublicError("Cancelled"))
    assert shop.diary() == ["start it", "stopped it"]
    assert shop.get(shop.send("add", 1, 1)) == 2


def test_a_task_that_waits_is_cancelled_at_once(shop: Shop) -> None:
    result = shop.send("counts", 10, 4)
    result.cancel()
    assert result.state == "REVOKED"
    assert (result.progress.state, result.progress.final) == ("REVOKED", True)
    shop.worker("-c", "1")
    assert shop.get(shop.send("add", 1, 1)) == 2


def test_a_cancelled_task_whose_runner_dies_is_not_run_again(shop: Shop) -> None:
    worker = shop.worker("-c", "1")
    result = shop.send("hold", "it")
    pid = shop.pid_of("it")
    result.cancel()
    wait_until(lambda: shows(result, lambda snap: snap.cancelling), "it shows that it was asked")
    assert alive(pid)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(TaskRevokedError, match="cancelled"):
        shop.get(result)
    assert shop.count("start it") == 1
    assert worker.process.poll() is None


def test_the_old_way_is_shown_as_it_was_told_and_written_four_times_a_second(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("tells_the_old_way")
    wait_until(lambda: result.info == {"current": 200, "total": 200, "mine": True})
    assert result.state == "PROGRESS"
    snap = result.progress
    assert (snap.current, snap.total, snap.percent) == (200, 200, 100.0)
    assert not snap.final
    shop.go()
    shop.get(result)


@pytest.mark.parametrize("shop", [*STORES, BESIDE], indirect=True)
def test_children_add_up_to_the_progress_of_their_parent(shop: Shop) -> None:
    shop.worker("-c", "2")
    parent = shop.send("has_children", 5)
    assert len(shop.get(parent)) == 5
    assert shows(parent, lambda snap: snap.children == Children(5, 3, 1, 1)).final
    shop.go()
    shows(parent, lambda snap: snap.children == Children(5, 4, 1, 0))


@pytest.mark.parametrize("shop", ["sqlite"], indirect=True)
def test_however_often_a_task_speaks_it_is_written_four_times_a_second(shop: Shop) -> None:
    shop.worker("-c", "1")
    store: Any = progress_of(shop.app)

    def changes() -> int:
        return int(
            store.keeper.read(lambda connection: connection.execute("SELECT last FROM progress_changes").fetchone()[0])
        )

    before = changes()
    result = shop.send("hurries", 300_000)
    shop.get(result)
    elapsed = result.progress.elapsed
    assert elapsed is not None
    assert 1 <= changes() - before <= elapsed / TICK + 3
    assert result.progress.current == 300_000


def test_results_need_not_be_kept_for_progress(shop: Shop) -> None:
    shop.worker("-c", "1")
    result = shop.send("counts", 3, 1, ignore_result=True)
    shows(result, lambda snap: snap.current == 1)
    shop.go()
    snap = shows(result, lambda snap: snap.final)
    assert (snap.state, snap.message) == ("SUCCESS", "3 things")
