"""Connects to the first server of a list that answers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence

from umbel.errors import ConfigurationError, StoreError, StoreRefused, StoreUnreachable
from umbel.stores.amqp.address import Address
from umbel.stores.amqp.connection import Connection


async def connect(addresses: Sequence[Address]) -> Connection:
    """A connection that is logged in.

    Raises what the last server said: ``StoreUnreachable`` when it does not answer within its ``connect_timeout``,
    ``StoreRefused`` when it does not let this user in or its certificate is not trusted.
    """
    error: StoreError | None = None
    for address in addresses:
        try:
            return await _connect(address)
        except StoreError as refusal:
            if error is None or not isinstance(refusal, StoreUnreachable):
                error = refusal
    assert error is not None, "there is at least one address"
    raise error


async def _connect(address: Address) -> Connection:
    loop = asyncio.get_running_loop()
    context = _context(address) if address.tls else None
    connection: Connection | None = None
    try:
        async with asyncio.timeout(address.connect_timeout or None):
            _, connection = await loop.create_connection(
                lambda: Connection(address),
                address.host,
                address.port,
                ssl=context,
                server_hostname=address.host if context is not None and address.verify else None,
            )
            _keep_awake(connection)
            await connection.opened()
    except TimeoutError:
        if connection is not None:
            connection.abort(None)
        raise StoreUnreachable(f"{address}: no answer within {address.connect_timeout:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise StoreRefused(f"{address}: its certificate is not trusted: {error.verify_message}") from error
    except ssl.SSLEOFError as error:
        raise StoreUnreachable(f"{address}: the connection was lost while it was made") from error
    except ssl.SSLError as error:
        raise StoreRefused(f"{address}: no TLS connection: {error.reason or error}") from error
    except socket.gaierror as error:
        raise StoreUnreachable(f"{address}: no such host: {error.strerror}") from error
    except OSError as error:
        raise StoreUnreachable(f"{address}: {error.strerror or error}") from error
    except BaseException:
        if connection is not None:
            connection.abort(None)
        raise
    return connection


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


def _keep_awake(connection: Connection) -> None:
    """Small frames leave at once."""
    sock = connection.socket()
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
