"""Connects to the first Redis server of a list that answers and takes writes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from hiredis import ReplyError

from umbel.errors import StoreRefused, StoreUnreachable, StoreUnsuitable
from umbel.stores.opening import encryption, first_of, reaching
from umbel.stores.redis.address import Address
from umbel.stores.redis.connection import Connection, Word, texts
from umbel.stores.redis.refusals import refusal


async def connect(addresses: Sequence[Address], patience: float) -> Connection:
    """A connection that is logged in, in its database; ``patience`` as ``Connection`` has it.

    Raises what the last server said: ``StoreUnreachable`` when it does not answer within its ``connect_timeout`` or is
    a replica, ``StoreRefused`` when it does not let this user in or its certificate is not trusted,
    ``StoreUnsuitable`` for one that is too old.
    """
    return await first_of(addresses, partial(_connect, patience))


async def _connect(patience: float, address: Address) -> Connection:
    if not address.master:
        return await _open(address, patience, _log_in)
    sentinel = await _open(address.sentinel, patience, _log_in_at_sentinel)
    try:
        told = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.master)
    finally:
        sentinel.leave()
    if isinstance(told, ReplyError):
        raise refusal(address, str(told))
    if told is None:
        raise StoreRefused(f"{address}: it watches nothing of the name {address.master!r} (master_name)")
    host, port = texts(told)
    return await _open(address.primary(host, int(port)), patience, _log_in)


async def _open(address: Address, patience: float, log_in: Callable[[Connection], Awaitable[None]]) -> Connection:
    async with reaching(address):
        connection = await _reach(address, patience)
        try:
            await log_in(connection)
        except BaseException:
            connection.abort(StoreUnreachable(f"{address}: it was not used"))
            raise
        return connection


async def _reach(address: Address, patience: float) -> Connection:
    loop = asyncio.get_running_loop()

    def make() -> Connection:
        return Connection(address, patience)

    if address.path:
        return (await loop.create_unix_connection(make, address.path))[1]
    transport, connection = await loop.create_connection(make, address.host, address.port, ssl=encryption(address))
    plug = transport.get_extra_info("socket")
    if plug is not None and plug.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # it is lost already, and says why
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return connection


async def _log_in_at_sentinel(connection: Connection) -> None:
    address = connection.address
    if address.sentinel_password:
        user = [address.sentinel_user] if address.sentinel_user else []
        answer = await connection.ask("AUTH", *user, address.sentinel_password)
        if isinstance(answer, ReplyError):
            raise refusal(address, str(answer))


async def _log_in(connection: Connection) -> None:
    address = connection.address
    admitted(address, await asyncio.gather(*(connection.ask(*words) for words in greeting(address))))


def greeting(address: Address, *, pushes: bool = False) -> list[tuple[Word, ...]]:
    """The commands with which a connection begins; with ``pushes`` one that hears channels and asks in turn."""
    login = ("AUTH", address.user or "default", address.password) if address.user or address.password else ()
    commands: list[tuple[Word, ...]] = [("HELLO", 3 if pushes else 2, *login, "SETNAME", "umbel")]
    if address.db:
        commands.append(("SELECT", address.db))
    return commands


def admitted(address: Address, answers: Sequence[Any]) -> None:
    """Return when these answers to the greeting let a connection in; raises as ``connect``."""
    for answer in answers:
        if isinstance(answer, ReplyError):
            if "unknown command" in str(answer):
                raise StoreUnsuitable(f"{address}: it is older than Redis 6, which umbel needs ({answer})")
            raise refusal(address, str(answer))
    hello = answers[0]
    told = hello if isinstance(hello, dict) else dict(zip(hello[::2], hello[1::2], strict=False))
    if address.cluster:
        if told.get(b"mode") != b"cluster":
            url = address._replace(cluster=False)
            raise StoreUnsuitable(f"{address}: it is no node of a cluster (cluster-enabled): write {url}")
        return  # a replica says itself where its primary is
    if told.get(b"mode") == b"cluster":
        raise refusal(address, "MOVED its mode is cluster")
    if told.get(b"role") in (b"replica", b"slave"):
        raise refusal(address, "READONLY")
