"""Connects to the first Redis server of a list that answers and takes writes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from hiredis import ReplyError

from umbel.errors import ConfigurationError, StoreError, StoreRefused, StoreUnreachable, StoreUnsuitable
from umbel.stores.redis.address import Address
from umbel.stores.redis.connection import Connection, texts
from umbel.stores.redis.refusals import refusal


async def connect(addresses: Sequence[Address], patience: float) -> Connection:
    """A connection that is logged in, in its database; ``patience`` as ``Connection`` has it.

    Raises what the last server said: ``StoreUnreachable`` when it does not answer within its ``connect_timeout`` or is
    a replica, ``StoreRefused`` when it does not let this user in or its certificate is not trusted,
    ``StoreUnsuitable`` for one that is too old.
    """
    error: StoreError | None = None
    for address in addresses:
        try:
            return await _connect(address, patience)
        except StoreError as refused:
            if error is None or not isinstance(refused, StoreUnreachable):
                error = refused
    assert error is not None, "there is at least one address"
    raise error


async def _connect(address: Address, patience: float) -> Connection:
    if not address.master:
        return await _open(address, patience, _log_in)
    sentinel = await _open(address, patience, _log_in_at_sentinel)
    try:
        told = await sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.master)
    finally:
        sentinel.leave()
    if isinstance(told, ReplyError):
        raise refusal(address, str(told))
    if told is None:
        raise StoreRefused(f"{address}: it watches nothing of the name {address.master!r} (master_name)")
    host, port = texts(told)
    return await _open(address._replace(host=host, port=int(port), master=""), patience, _log_in)


async def _open(address: Address, patience: float, log_in: Callable[[Connection], Awaitable[None]]) -> Connection:
    connection: Connection | None = None
    try:
        async with asyncio.timeout(address.connect_timeout):
            connection = await _reach(address, patience)
            await log_in(connection)
    except TimeoutError:
        if connection is not None:
            connection.abort(StoreUnreachable(f"{address}: no answer"))
        hint = ", or not in TLS" if address.tls else ""
        raise StoreUnreachable(f"{address}: no answer within {address.connect_timeout:g} s{hint}") from None
    except ssl.SSLCertVerificationError as error:
        raise StoreRefused(f"{address}: its certificate is not trusted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise StoreRefused(f"{address}: no TLS connection: {error.reason or error}") from error
    except socket.gaierror as error:
        raise StoreUnreachable(f"{address}: no such host: {error.strerror}") from error
    except OSError as error:
        raise StoreUnreachable(f"{address}: {error.strerror or error}") from error
    except BaseException:
        if connection is not None:
            connection.abort(StoreUnreachable(f"{address}: it was not used"))
        raise
    return connection


async def _reach(address: Address, patience: float) -> Connection:
    loop = asyncio.get_running_loop()

    def make() -> Connection:
        return Connection(address, patience)

    if address.path:
        return (await loop.create_unix_connection(make, address.path))[1]
    context = _context(address) if address.tls else None
    transport, connection = await loop.create_connection(
        make,
        address.host,
        address.port,
        ssl=context,
        server_hostname=address.host if context is not None and address.verify else None,
    )
    plug = transport.get_extra_info("socket")
    if plug is not None and plug.family in (socket.AF_INET, socket.AF_INET6):
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
    login = ("AUTH", address.user or "default", address.password) if address.user or address.password else ()
    questions = [connection.ask("HELLO", 2, *login, "SETNAME", "umbel")]
    if address.db:
        questions.append(connection.ask("SELECT", address.db))
    hello, *rest = await asyncio.gather(*questions)
    for answer in (hello, *rest):
        if isinstance(answer, ReplyError):
            if "unknown command" in str(answer):
                raise StoreUnsuitable(f"{address}: it is older than Redis 6, which umbel needs ({answer})")
            raise refusal(address, str(answer))
    told = dict(zip(hello[::2], hello[1::2], strict=False))
    if told.get(b"role") in (b"replica", b"slave"):
        raise refusal(address, "READONLY")
    if told.get(b"mode") == b"cluster":
        raise refusal(address, "MOVED its mode is cluster")


def _context(address: Address) -> ssl.SSLContext:
    named = [address.ca_certs]
    try:
        context = ssl.create_default_context(cafile=address.ca_certs)
        if address.certfile:
            named = [address.certfile, address.keyfile]
            context.load_cert_chain(address.certfile, address.keyfile)
    except (OSError, ssl.SSLError) as error:
        files = " or ".join(dict.fromkeys(filter(None, named)))
        raise ConfigurationError(f"{address}: {files} cannot be read: {error}") from error
    if not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
