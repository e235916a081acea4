"""What both ends find on RabbitMQ: queues, exchanges, priorities, what was delayed there, what came back."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.interop.ends import ON_RABBITMQ, Ends
from umbel.app import Umbel
from umbel.brokers.amqp import AmqpBroker
from umbel.model import Queue
from umbel.testing.conformance.harness import take

pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.parametrize("ends", ON_RABBITMQ, indirect=True, scope="module"),
]


@pytest.fixture
def name() -> str:
    """A queue that nobody has made yet."""
    return f"q-{uuid.uuid4().hex}"


SETUP = """
def app_of(*queues):
    other = celery.Celery("other", broker=os.environ["INTEROP_BROKER"], backend="rpc://")
    other.conf.task_queues = queues
    return other
def taken(other, name, count):
    with other.connection_for_read() as connection:
        queue = kombu.Queue(name, no_declare=True)(connection.default_channel)
        found = []
        while len(found) < count:
            message = queue.get(no_ack=True)
            if message is not None:
                found.append([message.headers["id"], message.properties.get("priority")])
        return found
"""


def client(ends: Ends, *queues: Queue) -> Umbel:
    return Umbel("other", broker=ends.url, backend="rpc://", task_queues=queues, set_as_current=False)


async def test_more_urgent_messages_of_celery_come_first_to_umbel(ends: Ends, name: str) -> None:
    code = f"""{SETUP}
other = app_of(kombu.Queue({name!r}, kombu.Exchange({name!r}), {name!r}, max_priority=10))
[other.send_task("deeds.add", (1, n), queue={name!r}, priority=n).id for n in (1, 9, 5)]
"""
    one, nine, five = ends.celery(code)
    async with AmqpBroker(ends.url) as broker:
        taken = await take(broker, name, 3)
    assert [(each.envelope.id, each.priority) for each in taken] == [(nine, 9), (five, 5), (one, 1)]


def test_more_urgent_messages_of_umbel_come_first_to_celery(ends: Ends, name: str) -> None:
    """umbel declared the queue; Celery declares it once more, as it would."""
    with client(ends, Queue(name, max_priority=10)) as app:
        one, nine, five = (app.send_task("deeds.add", (1, n), queue=name, priority=n).id for n in (1, 9, 5))
    code = f"""{SETUP}
other = app_of(kombu.Queue({name!r}, kombu.Exchange({name!r}), {name!r}, max_priority=10))
own = other.send_task("deeds.add", (1, 0), queue={name!r}, priority=10).id
[own, taken(other, {name!r}, 4)]
"""
    own, seen = ends.celery(code)
    assert seen == [[own, 10], [nine, 9], [five, 5], [one, 1]]


def test_an_exchange_and_a_key_of_ones_own_lead_to_the_same_queue(ends: Ends, name: str) -> None:
    """Each declares after the other has."""
    declared = f"kombu.Queue({name!r}, kombu.Exchange('x-{name}'), 'key-{name}')"
    with client(ends, Queue(name, exchange=f"x-{name}", routing_key=f"key-{name}")) as app:
        first = app.send_task("deeds.add", (1, 2), exchange=f"x-{name}", routing_key=f"key-{name}").id
        code = f"""{SETUP}
other = app_of({declared})
own = other.send_task("deeds.add", (1, 2), exchange="x-{name}", routing_key="key-{name}").id
[own, [id for id, _ in taken(other, {name!r}, 2)]]
"""
        own, seen = ends.celery(code)
        assert seen == [first, own]
        app.send_task("deeds.add", (1, 2), queue=name)


def test_a_queue_that_celery_has_made_is_taken_as_it_is(ends: Ends, name: str) -> None:
    code = f"""{SETUP}
topic = kombu.Exchange({name!r}, type="topic")
other = app_of(kombu.Queue({name!r}, topic, {name!r}, queue_arguments={{"x-max-length": 9}}))
other.send_task("deeds.add", (1, 2), queue={name!r}).id
"""
    ends.celery(code)
    with client(ends) as app:
        second = app.send_task("deeds.add", (3, 4), queue=name).id
    code = f"""{SETUP}
third = other.send_task("deeds.add", (1, 2), queue={name!r}).id
[third, [id for id, _ in taken(other, {name!r}, 3)]]
"""
    third, seen = ends.celery(code)
    assert seen[1:] == [second, third]


def test_what_celery_delayed_on_the_server_arrives_at_umbel(ends: Ends, name: str) -> None:
    """A Celery worker makes the ladder; the queue itself is umbel's alone."""
    code = f"""{SETUP}
topic = kombu.Exchange({name!r}, type="topic")
quorum = kombu.Queue({name!r}, topic, {name!r}, queue_arguments={{"x-queue-type": "quorum"}})
other = app_of(quorum)
from kombu.transport import native_delayed_delivery as native
with other.connection_for_write() as connection:
    native.declare_native_delayed_delivery_exchanges_and_queues(connection, "quorum")
    quorum(connection.default_channel).declare()
"""
    ends.celery(code)
    worker = ends.start("umbel", name)
    worker.ready()
    code = """
sent = []
def spy(exchange=None, routing_key=None, **rest):
    sent.append([exchange.name, routing_key])
celery.signals.before_task_publish.connect(spy)
result = other.send_task("deeds.look", (1,), queue=quorum.name, countdown=1.5)
celery.signals.before_task_publish.disconnect(spy)
time.sleep(2.6)
[sent, result.get(timeout=60)]
"""
    ((exchange, key),), seen = ends.celery(code)
    worker.kill()
    assert (exchange, key) == ("celery_delayed_27", "0." * 27 + f"1.{name}")
    assert (seen["end"], seen["args"]) == ("umbel", [1])


@pytest.mark.parametrize("compression", ["brotli", "zstd"])
def test_what_a_worker_has_no_package_to_expand_is_kept_for_one_that_has(
    ends: Ends, name: str, compression: str
) -> None:
    worker = ends.start("umbel", name, without=["brotli", "zstandard"])
    worker.ready()
    code = f"""
result = tell.apply_async(({name!r},), queue={name!r}, compression={compression!r})
error = result.get(timeout=60, propagate=False)
[result.id, result.state, type(error).__name__, str(error), add.apply_async((1, 2), queue={name!r}).get(timeout=60)]
"""
    id, state, kind, told, alive = ends.celery(code)
    worker.kill()
    assert (state, kind, alive) == ("FAILURE", "DecodeError", 3)
    assert told.startswith(f"compression: the compression {compression} needs a package")
    assert "pip install 'umbel[compression]'" in told
    (letter,) = [letter for letter in ends.app.dead.list() if letter.id == id]
    assert letter.reason == f"DecodeError: {told}"
    other = ends.start("umbel", name)
    assert ends.app.dead.replay(letter.number) == 1
    ends.noted(f"tell ['{name}'] umbel")
    other.kill()


@pytest.mark.parametrize(("first", "second"), [("celery", "umbel"), ("umbel", "celery")])
def test_a_task_whose_worker_is_killed_is_done_by_the_other_kind(
    ends: Ends, name: str, first: str, second: str
) -> None:
    gate = f"gate-{name}"
    worker = ends.start(first, name)
    worker.ready()
    result: Any = ends.send("hold", gate, queue=name)
    ends.noted(f"hold {gate} {first}")
    other = ends.start(second, name)
    worker.kill()
    ends.noted(f"hold {gate} {second}")
    ends.open(gate)
    assert ends.get(result) == second
    other.kill()


@pytest.mark.parametrize(("first", "second"), [("umbel", "umbel"), ("umbel", "celery"), ("celery", "umbel")])
def test_a_chain_goes_on_when_the_worker_of_its_first_task_is_killed(
    ends: Ends, name: str, first: str, second: str
) -> None:
    gate = f"gate-{name}"
    worker = ends.start(first, name)
    worker.ready()
    code = f"""
result = chain(hold.s({gate!r}).set(queue={name!r}), echo.s().set(queue={name!r}), add.s("!").set(queue={name!r}))()
result.id
"""
    ends.celery(code)
    ends.noted(f"hold {gate} {first}")
    worker.kill()
    other = ends.start(second, name)
    other.ready()
    ends.open(gate)
    assert ends.celery("result.get(timeout=60)") == f"{second}!"
    other.kill()
