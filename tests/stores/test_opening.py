"""What is told of servers that are lost or talk nonsense while an encrypted connection to them is made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from umbel.errors import StoreError, StoreRefused, StoreUnreachable
from umbel.stores.amqp import address as amqp_address
from umbel.stores.amqp import opening as amqp
from umbel.stores.amqp.connection import Connection as AmqpConnection
from umbel.stores.redis import address as redis_address
from umbel.stores.redis import opening as redis
from umbel.stores.redis.connection import Connection as RedisConnection

ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
"""The record by which a server says that it does not want to."""


def to_rabbitmq(port: int, options: str = "") -> Awaitable[object]:
    return amqp.connect(amqp_address.addresses(f"amqps://127.0.0.1:{port}//{options}"))


def to_redis(port: int, options: str = "") -> Awaitable[object]:
    return redis.connect(redis_address.addresses(f"rediss://127.0.0.1:{port}/0{options}"), 5.0)


async def answering(said: bytes | None, connect: Callable[[int], Awaitable[object]]) -> None:
    """Connect to a server that says this to the first bytes it gets and hangs up; None waits for the other's end."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        if said is None:
            await reader.read()
        else:
            writer.write(said)
        writer.close()
        gone.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        try:
            await connect(listening.sockets[0].getsockname()[1])
        finally:
            await gone.wait()


@pytest.mark.parametrize("connect", [to_rabbitmq, to_redis])
@pytest.mark.parametrize(
    ("said", "error", "told"),
    [
        (b"", StoreUnreachable, "the connection was lost while it was made"),
        (b"\x16\x03\x03\x00\x7a\x02", StoreUnreachable, "the connection was lost while it was made"),
        (ALERT, StoreRefused, "no TLS connection: .*HANDSHAKE_FAILURE"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", StoreRefused, "no TLS connection: WRONG_VERSION_NUMBER"),
    ],
    ids=["nothing", "half a record", "no", "another protocol"],
)
async def test_a_server_that_leaves_in_the_handshake_may_come_back_and_one_that_says_no_is_final(
    connect: Callable[[int], Awaitable[object]], said: bytes, error: type[StoreError], told: str
) -> None:
    with pytest.raises(StoreError, match=rf"127\.0\.0\.1:\d+//?0?: {told}") as caught:
        await answering(said, connect)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("connection", "connect"),
    [
        (AmqpConnection, lambda port: amqp.connect(amqp_address.addresses(f"amqp://127.0.0.1:{port}//"))),
        (RedisConnection, lambda port: redis.connect(redis_address.addresses(f"redis://127.0.0.1:{port}/0"), 5.0)),
    ],
    ids=["rabbitmq", "redis"],
)
async def test_a_connection_that_is_lost_as_soon_as_it_is_made_is_told_as_lost(
    connection: type[AmqpConnection | RedisConnection],
    connect: Callable[[int], Awaitable[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = connection.connection_made

    def lose(self: Any, transport: asyncio.Transport) -> None:
        made(self, transport)
        transport.abort()

    monkeypatch.setattr(connection, "connection_made", lose)
    with pytest.raises(StoreUnreachable, match="the connection was lost"):
        await answering(b"", connect)


@pytest.mark.parametrize("connect", [to_rabbitmq, to_redis])
async def test_a_server_that_says_nothing_may_not_be_in_tls(connect: Callable[..., Awaitable[object]]) -> None:
    with pytest.raises(StoreUnreachable, match=r"no answer within 0\.2 s, or not in TLS"):
        await answering(None, partial(connect, options="?connect_timeout=0.2"))
