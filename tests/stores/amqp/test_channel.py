"""Channels whose users go away in the middle of what they asked."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from pamqp import commands

from tests.brokers.test_amqp import letter
from tools.rabbitmq import RabbitMQ
from umbel.brokers.amqp import AmqpBroker
from umbel.errors import StoreError
from umbel.model import Route
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.channel import Arrival
from umbel.stores.amqp.connection import Connection
from umbel.stores.amqp.methods import method
from umbel.stores.amqp.opening import connect

pytestmark = pytest.mark.server


@pytest.fixture
async def connection(rabbitmq: RabbitMQ) -> AsyncIterator[Connection]:
    made = await connect(addresses(rabbitmq.url))
    yield made
    await made.close()


async def leave(work: Coroutine[Any, Any, object]) -> None:
    """Ask, and be gone before the answer."""
    asking = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_an_answer_that_nobody_waits_for_any_more_is_not_that_to_the_next_question(
    connection: Connection,
) -> None:
    channel = await connection.channel()
    names = [f"left-{uuid.uuid4().hex}" for _ in range(3)]
    declaring = [method(commands.Queue.Declare, queue=name, exclusive=True) for name in names]
    await leave(channel.call(declaring[0], commands.Queue.DeclareOk))
    told = [await channel.call(each, commands.Queue.DeclareOk) for each in declaring[1:]]
    assert [answer.queue for answer in told] == names[1:]
    assert not connection.lost.done()


async def test_a_channel_that_nobody_waits_for_any_more_leaves_the_others_alone(connection: Connection) -> None:
    await leave(connection.channel())
    channels = [await connection.channel() for _ in range(3)]
    for channel in channels:
        await channel.qos(1)
        await channel.close()
    assert not connection.lost.done()
    assert not connection._channels


async def test_what_came_for_a_consumer_that_nobody_waits_for_any_more_goes_back(
    rabbitmq: RabbitMQ, connection: Connection
) -> None:
    queue, heard = f"left-{uuid.uuid4().hex}", asyncio.get_running_loop().create_future()

    def hear(arrivals: list[Arrival]) -> None:
        heard.set_result(len(arrivals))

    async with AmqpBroker(rabbitmq.url) as broker:
        await broker.publish([(Route(queue), letter())])
    channel, other = await connection.channel(), await connection.channel()
    await leave(channel.consume(queue, "left", hear))
    await other.consume(queue, "other", hear)
    assert await asyncio.wait_for(heard, 60) == 1
    with pytest.raises(StoreError, match="the channel was closed"):
        await channel.qos(1)
