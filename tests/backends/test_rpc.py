"""Results that are sent to their caller over a real RabbitMQ server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import anyio
import pytest

from tools.rabbitmq import RabbitMQ
from umbel.app import Umbel
from umbel.backends.rpc import MOST, RpcBackend
from umbel.errors import ConfigurationError, ContentDisallowed, StoreUnreachable
from umbel.model import Record, SealedRecord, State
from umbel.serial import accepted
from umbel.testing.conformance.harness import PATIENCE, on_another_loop
from umbel.wire import results

pytestmark = pytest.mark.server

JSON = accepted(["json"])


@pytest.fixture
async def worker(rabbitmq: RabbitMQ) -> AsyncIterator[RpcBackend]:
    async with RpcBackend("rpc://", {"broker_url": rabbitmq.url}) as made:
        yield made


@pytest.fixture
async def caller(rabbitmq: RabbitMQ) -> AsyncIterator[RpcBackend]:
    async with RpcBackend("rpc://", {"broker_url": rabbitmq.url}) as made:
        await made.listen()
        yield made


def record(
    caller: RpcBackend, state: str = State.SUCCESS, value: object = 1, id: str = "", life: int = 0
) -> SealedRecord:
    made = Record(id=id or str(uuid.uuid4()), state=state, value=value, life=life, reply_to=caller.reply_to)
    return results.seal(made)


async def last(caller: RpcBackend, id: str) -> SealedRecord:
    """The final record of this id, when it has come."""
    return [each async for each in caller.watch([id])][-1]


async def test_a_record_comes_to_its_caller(worker: RpcBackend, caller: RpcBackend) -> None:
    sent = record(caller, value={"deep": [1, None, "ż"]})
    await worker.store([sent])
    got = await last(caller, sent.id)
    assert results.unseal(got, JSON).value == {"deep": [1, None, "ż"]}
    assert (await caller.load([sent.id, "unknown"])).keys() == {sent.id}


async def test_states_on_the_way_come_too_and_the_first_final_one_stays(worker: RpcBackend, caller: RpcBackend) -> None:
    id = str(uuid.uuid4())
    seen = []
    first = asyncio.Event()

    async def look() -> None:
        async for each in caller.watch([id]):
            seen.append(each.state)
            first.set()

    looking = asyncio.create_task(look())
    await worker.store([record(caller, "HALFWAY", id=id)])
    await first.wait()
    await worker.store([record(caller, State.SUCCESS, 1, id), record(caller, State.SUCCESS, 2, id)])
    await looking
    assert seen == ["HALFWAY", "SUCCESS"]
    assert results.unseal((await caller.load([id]))[id], JSON).value == 1


async def test_a_record_of_a_newer_life_replaces_a_final_one(worker: RpcBackend, caller: RpcBackend) -> None:
    id = str(uuid.uuid4())
    await worker.store([record(caller, State.FAILURE, ValueError("old"), id)])
    assert (await last(caller, id)).state == "FAILURE"
    marker = record(caller)
    await worker.store([record(caller, State.SUCCESS, 2, id, life=1), marker])
    await last(caller, marker.id)
    assert (await caller.load([id]))[id].life == 1


async def test_nobody_is_told_of_what_nobody_waits_for(worker: RpcBackend, caller: RpcBackend) -> None:
    gone = record(caller)._replace(reply_to=f"gone-{uuid.uuid4()}")
    unasked = record(caller)._replace(reply_to="")
    await worker.store([gone, unasked])
    assert await caller.load([gone.id, unasked.id]) == {}


async def test_what_cannot_be_read_ends_the_waiting_with_the_reason(worker: RpcBackend, caller: RpcBackend) -> None:
    pickled = results.seal(Record(id="p" + uuid.uuid4().hex, state="SUCCESS", value=1), serializer="pickle")
    await worker.store([pickled._replace(reply_to=caller.reply_to)])
    got = await last(caller, pickled.id)
    with pytest.raises(ContentDisallowed):
        results.unseal(got, JSON)


async def test_forgetting_drops_a_record(worker: RpcBackend, caller: RpcBackend) -> None:
    sent = record(caller)
    await worker.store([sent])
    await last(caller, sent.id)
    await caller.forget([sent.id, "unknown"])
    assert await caller.load([sent.id]) == {}


async def test_a_caller_whose_connection_was_cut_hears_what_came_meanwhile(
    worker: RpcBackend, caller: RpcBackend
) -> None:
    sent = record(caller)
    waiting = asyncio.create_task(last(caller, sent.id))
    await asyncio.sleep(0)
    (await caller.link.connection()).abort(StoreUnreachable("cut by the test"))
    await worker.store([sent])
    assert (await waiting).id == sent.id


async def test_what_nobody_asks_for_is_bounded(
    worker: RpcBackend, caller: RpcBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.backends.rpc.MOST", 3)
    sent = [record(caller) for _ in range(5)]
    await worker.store(sent)
    await last(caller, sent[4].id)
    assert MOST > 3
    assert (await caller.load([each.id for each in sent])).keys() == {each.id for each in sent[2:]}


async def test_each_of_two_loops_sends_and_hears_for_itself(worker: RpcBackend, caller: RpcBackend) -> None:
    mine, theirs, late = record(caller), record(caller), record(caller)
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def elsewhere() -> None:
        async with worker, caller:
            await caller.listen()
            await worker.store([theirs])
            # Each loop is asked for all: the server gives a reply to one of those that listen.
            assert {each.id async for each in caller.watch([mine.id, theirs.id])} == {mine.id, theirs.id}
            loop.call_soon_threadsafe(heard.set)

    with anyio.fail_after(PATIENCE):
        async with asyncio.TaskGroup() as group:
            group.create_task(on_another_loop(elsewhere))
            await worker.store([mine])
            assert {each.id async for each in caller.watch([mine.id, theirs.id])} == {mine.id, theirs.id}
            await heard.wait()
        await worker.store([late])
        assert (await last(caller, late.id)).id == late.id


def test_rpc_needs_rabbitmq() -> None:
    app = Umbel("t", broker="memory://", backend="rpc://", set_as_current=False)
    with pytest.raises(ConfigurationError, match=r"broker_url is no amqp:// URL"):
        app.result("x").ready()
