"""Tasks that run, and messages that wait, for longer than RabbitMQ lets anybody hold a delivery."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.abroad import Abroad
from tests.faults.site import until
from tools.rabbitmq import RabbitMQ
from umbel.brokers.amqp import AmqpBroker
from umbel.model import ACK, REQUEUE, Envelope, Route, Settlement, Verdict, dead, later
from umbel.testing.conformance.harness import listening
from umbel.testing.conformance.harness import until as until_async
from umbel.wire.amqp import pack_properties

pytestmark = [pytest.mark.server, pytest.mark.slow]

TIMEOUT = 12
HANDOVER = 5


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A server that takes what is held for 12 seconds for forgotten, and looks every second."""
    advanced = f"[{{rabbit, [{{consumer_timeout, {TIMEOUT * 1000}}}, {{channel_tick_interval, 1000}}]}}]."
    server = RabbitMQ(tmp_path_factory.mktemp("impatient"), advanced=advanced)
    server.start()
    yield server
    server.close()


@pytest.fixture
def site(tmp_path: Path, impatient: RabbitMQ) -> Iterator[Abroad]:
    made = Abroad(tmp_path, impatient)
    yield made
    made.close()


FLAGS = ("-c", "1", "--set", f"broker_amqp_handover={HANDOVER}", "--set", "worker_prefetch_multiplier=11")


def test_a_long_task_and_ten_behind_it_are_run_once_each(site: Abroad) -> None:
    held = site.app.send_task("poison.hold", ["go"])
    behind = [site.app.send_task("mill.plain") for _ in range(10)]
    worker = site.worker(*FLAGS)
    site.wait_for_note("hold")
    until_the_server_minds(site)
    site.go()
    assert site.get(held) is None
    for result in behind:
        site.get(result)
    site.notes.read()
    assert site.count(f"hold {held.id}") == 1
    assert set(site.notes.runs.values()) == {1}
    assert "was lost" not in worker.text()


def test_a_long_task_whose_worker_dies_comes_back(site: Abroad, impatient: RabbitMQ) -> None:
    held = site.app.send_task("poison.hold", ["go"])
    worker = site.worker(*FLAGS)
    site.wait_for_note("hold")
    until(lambda: "umbel.running." in impatient.control("-q", "list_queues", "name"), what=worker.text)
    until(lambda: not holds(impatient, site.queue), what=worker.text)
    worker.kill_tree()
    site.worker(*FLAGS)
    site.wait_for_note("hold", 2)
    site.go()
    assert site.get(held) is None
    assert site.count("hold") == 2


def until_the_server_minds(site: Abroad) -> None:
    """Return when another worker, that does not change its claims, has lost one for holding it too long, twice."""
    queue = f"{site.queue}.forgotten"
    other = site.worker("-c", "1", "-Q", queue)
    task = site.app.send_task("poison.hold", ["go"], queue=queue)
    until(lambda: other.text().count("PRECONDITION_FAILED") == 2, what=other.text)
    assert site.count(f"hold {task.id}") == 1, "it goes on all the same"


def holds(server: RabbitMQ, queue: str) -> int:
    """How many messages of the queue are there, held or not."""
    lines = server.control("-q", "list_queues", "name", "messages").splitlines()
    return sum(int(count) for name, _, count in (line.partition("\t") for line in lines) if name == queue)


@pytest.fixture
async def broker(impatient: RabbitMQ) -> AsyncIterator[AmqpBroker]:
    async with AmqpBroker(impatient.url, {"broker_amqp_handover": 0.5}) as made:
        yield made


@pytest.mark.parametrize(
    ("verdict", "left"), [(ACK, 0), (REQUEUE, 1), (dead("why"), 0), (later(4e9), 0)], ids=lambda each: str(each)[:20]
)
async def test_what_has_changed_its_claim_is_settled_as_anything_is(
    broker: AmqpBroker, impatient: RabbitMQ, verdict: Verdict, left: int
) -> None:
    queue, task_id = f"long-{uuid.uuid4().hex}", str(uuid.uuid4())
    head = pack_properties({"content_type": "application/json", "correlation_id": task_id})
    await broker.publish([(Route(queue), Envelope("amqp", task_id, head, b"[]"))])
    consumer = await broker.consume([queue], 5)
    async with listening(consumer) as ear:
        (held,) = await ear.hears(1)

        async def moved() -> bool:
            return not await asyncio.to_thread(holds, impatient, queue)

        await until_async(moved)
        await consumer.resize(0)
        await consumer.settle([Settlement(held, verdict)])
    assert await broker.size(queue) == left
    buried = [letter.envelope.id for letter in await broker.dead_letters()]
    assert (task_id in buried) is (verdict.kind == "dead")
    assert await asyncio.to_thread(holds, impatient, queue) == left
