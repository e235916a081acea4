"""Connects to the first server of a list that answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence

from umbel.stores.amqp.address import Address
from umbel.stores.amqp.connection import Connection
from umbel.stores.opening import encryption, first_of, reaching


async def connect(addresses: Sequence[Address]) -> Connection:
    """A connection that is logged in.

    Raises what the last server said: ``StoreUnreachable`` when it does not answer within its ``connect_timeout``,
    ``StoreRefused`` when it does not let this user in or its certificate is not trusted.
    """
    return await first_of(addresses, _connect)


async def _connect(address: Address) -> Connection:
    async with reaching(address):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(address), address.host, address.port, ssl=encryption(address)
        )
        try:
            _keep_awake(connection)
            await connection.opened()
        except BaseException:
            connection.abort(None)
            raise
        return connection


def _keep_awake(connection: Connection) -> None:
    """Small frames leave at once."""
    sock = connection.socket()
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # it is lost already, and says why
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
