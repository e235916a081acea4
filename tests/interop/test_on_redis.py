"""What both ends find on Redis: lists, bindings, priorities, what is held there, what comes back."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.interop.ends import ON_REDIS, Ends
from tests.worker.process import wait_until
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.brokers.redis import RedisBroker
from umbel.errors import TaskRevokedError
from umbel.model import Queue
from umbel.testing.conformance.harness import take

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.parametrize("ends", ON_REDIS, indirect=True, scope="module"),
]

SETUP = """
def app_of(*queues):
    other = celery.Celery("other", broker=os.environ["INTEROP_BROKER"])
    other.conf.task_queues = queues
    return other
def taken(other, name, count):
    with other.connection_for_read() as connection:
        queue = kombu.Queue(name, no_declare=True)(connection.default_channel)
        found = []
        while len(found) < count:
            message = queue.get(no_ack=True)
            if message is not None:
                found.append(message.headers["id"])
        return found
"""


@pytest.fixture
def name() -> str:
    """A queue that nobody has made yet."""
    return f"q-{uuid.uuid4().hex}"


async def test_more_urgent_messages_of_celery_come_first_to_umbel(ends: Ends, name: str) -> None:
    code = f"""{SETUP}
other = app_of(kombu.Queue({name!r}))
[other.send_task("deeds.add", (1, n), queue={name!r}, priority=n).id for n in (9, 0, 6, 3)]
"""
    nine, none, six, three = ends.celery(code)
    async with RedisBroker(ends.url) as broker:
        taken = await take(broker, name, 4)
    assert [(each.envelope.id, each.priority) for each in taken] == [(none, 9), (three, 6), (six, 3), (nine, 0)]


def test_more_urgent_messages_of_umbel_come_first_to_celery(ends: Ends, name: str) -> None:
    with Umbel("other", broker=ends.url, set_as_current=False) as app:
        one, nine, five = (app.send_task("deeds.add", (1, n), queue=name, priority=n).id for n in (1, 9, 5))
    code = f"""{SETUP}
taken(app_of(kombu.Queue({name!r})), {name!r}, 3)
"""
    assert ends.celery(code) == [nine, five, one]


def test_an_exchange_and_a_key_of_ones_own_lead_to_the_same_queue(ends: Ends, name: str) -> None:
    """Celery's client finds the queue by what umbel has bound, without having declared it itself."""
    queue = Queue(name, exchange=f"x-{name}", routing_key=f"key-{name}")
    with Umbel("other", broker=ends.url, task_queues=[queue], set_as_current=False) as app:
        first = app.send_task("deeds.add", (1, 2), exchange=f"x-{name}", routing_key=f"key-{name}").id
    code = f"""{SETUP}
other = app_of()
with other.connection_for_write() as connection:
    kombu.Producer(connection).publish({{}}, exchange="x-{name}", routing_key="key-{name}", headers=dict(id="own"))
taken(other, {name!r}, 2)
"""
    assert ends.celery(code) == [first, "own"]


@pytest.mark.parametrize("end", ["celery", "umbel"])
def test_either_reads_every_result_of_the_other_by_its_id(ends: Ends, end: str) -> None:
    results: list[Any] = [ends.send("add", 1, 2, queue=end), ends.send("fails", 1, queue=end)]
    results.append(ends.send("add", 1, 2, queue=end, expires=-1))
    for result in results:
        result.get(timeout=60, propagate=False)
    own = [(each.state, repr(each.result), (each.traceback or "").splitlines()[-1:]) for each in results]
    trace = ["KeyError: ('a', 1)"]
    assert own[:2] == [("SUCCESS", "3", []), ("FAILURE", "KeyError('a', 1)", trace)]
    assert own[2][:2] == ("REVOKED", "TaskRevokedError('expired')")
    code = f"""
found = [app.AsyncResult(id) for id in {[result.id for result in results]!r}]
def told(each):
    return [each.state, repr(each.result), (each.traceback or "").splitlines()[-1:], each.date_done is not None]
[told(each) for each in found]
"""
    assert ends.celery(code) == [[*each, True] for each in own]


def test_either_hears_of_the_others_results_at_once(ends: Ends) -> None:
    """A program that has not sent the call waits for its end."""
    gate = f"gate-{uuid.uuid4().hex}"
    held = ends.send("hold", gate, queue="umbel")
    ends.noted(f"hold {gate} umbel")
    code = f"""
import threading
waits = app.AsyncResult({held.id!r})
threading.Timer(0.5, (FOLDER / {gate!r}).touch).start()
waits.get(timeout=60)
"""
    assert ends.celery(code) == "umbel"


def test_what_waits_for_celery_is_taken_back(ends: Ends, name: str) -> None:
    results = [ends.send("tell", name, queue=name), ends.send("tell", name, queue=name, countdown=3600)]
    code = f"""
sent = tell.apply_async(({name!r},), queue={name!r})
sent.id
"""
    results.append(ends.app.result(ends.celery(code)))
    for result in results:
        result.revoke()
        with pytest.raises(TaskRevokedError):
            ends.get(result)
    assert ends.celery("[sent.state, repr(sent.result)]") == ["REVOKED", "TaskRevokedError('revoked')"]
    worker = ends.start("celery", name)
    assert ends.get(ends.send("add", 1, 2, queue=name)) == 3
    worker.stop()
    assert f"tell ['{name}'] celery" not in ends.diary()


@pytest.mark.parametrize("end", ["celery", "umbel"])
def test_what_celery_revokes_is_not_run(ends: Ends, name: str, end: str) -> None:
    worker = ends.start(end, name)
    worker.ready()
    code = f"""
first = tell.apply_async(({name!r},), queue={name!r}, countdown=2)
app.control.revoke(first.id)
error = first.get(timeout=60, propagate=False)
[first.state, repr(error)]
"""
    assert ends.celery(code) == ["REVOKED", "TaskRevokedError('revoked')"]
    worker.stop()
    assert f"tell ['{name}'] {end}" not in ends.diary()


def test_what_celery_gives_back_though_it_has_its_end_is_not_run(ends: Ends, name: str, redis: RedisServer) -> None:
    """As it does with what it has done last, when it acknowledges late and is stopped."""
    worker = ends.start("celery", name)
    worker.ready()
    result = ends.send("once", 1, queue=name, countdown=8)
    wait_until(lambda: result.id in redis.command("HVALS", "unacked"), "Celery's worker holds it")
    ends.celery(f"app.backend.store_result({result.id!r}, 'done', 'SUCCESS')")
    worker.stop()
    assert result.id in redis.command("LRANGE", name, "0", "-1")
    other = ends.start("umbel", name)
    wait_until(lambda: "came again and has its end" in other.text(), "it is looked up")
    other.stop()
    assert redis.command("EXISTS", name, f"umbel.due.{name}") == "0"
    assert ends.count(f"once {result.id}") == 0


def test_a_worker_that_ends_in_order_leaves_everything_to_the_other_kind(
    ends: Ends, name: str, redis: RedisServer
) -> None:
    """What was ready, held, and parked for later; to and fro."""
    results = [ends.send("once", 1, queue=name, countdown=countdown) for countdown in (0, 4, 4, 4)]
    for end in ("umbel", "celery", "umbel", "celery"):
        worker = ends.start(end, name)
        worker.ready()
        results.append(ends.send("once", 1, queue=name, countdown=4))
        assert ends.get(ends.send("once", 1, queue=name)) == end
        worker.stop()
        assert redis.command("ZCARD", f"umbel.due.{name}") == "0"
    last = ends.start("celery", name)
    for result in results:
        ends.get(result)
    last.stop()
    notes = [line.split()[1] for line in ends.diary() if line.startswith("once ")]
    assert [notes.count(result.id) for result in results] == [1] * len(results)
