"""What a server means that hangs up while a connection is being made."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pamqp import commands
from pamqp.frame import marshal

from umbel.errors import StoreError, StoreRefused, StoreUnreachable
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.connection import Connection
from umbel.stores.amqp.opening import connect

TELLS = {"capabilities": {"authentication_failure_close": True}}


@asynccontextmanager
async def server(properties: dict[str, Any], leave: Callable[[asyncio.StreamWriter], object]) -> AsyncIterator[str]:
    """One that asks for a login, and leaves when it has it; gives its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(marshal(commands.Connection.Start(server_properties=properties), 0))
        await reader.read(100)
        leave(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"amqp://somebody:secret@127.0.0.1:{port}//"


async def test_a_connection_that_is_lost_before_anybody_waits_for_it_is_no_complaint_of_the_loop() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    (address,) = addresses("amqp://somebody:secret@127.0.0.1//")
    connection = Connection(address)
    connection.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    del connection
    gc.collect()
    assert told == []


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    now = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    writer.close()


@pytest.mark.parametrize(
    ("properties", "leave", "error"),
    [
        ({"product": "new", **TELLS}, close, StoreUnreachable),
        ({"product": "new", **TELLS}, reset, StoreUnreachable),
        ({"product": "old"}, reset, StoreUnreachable),
        ({"product": "old"}, close, StoreRefused),
    ],
)
async def test_only_a_server_that_would_not_tell_refuses_by_hanging_up(
    properties: dict[str, Any], leave: Callable[[asyncio.StreamWriter], object], error: type[StoreError]
) -> None:
    async with server(properties, leave) as url:
        with pytest.raises(StoreError, match="hung up while 'somebody' logged in") as caught:
            await connect(addresses(url))
    assert type(caught.value) is error
