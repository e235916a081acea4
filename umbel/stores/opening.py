"""What is alike wherever a server is connected to: servers in turn, encryption, and what is told of a failure."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from umbel.errors import ConfigurationError, StoreError, StoreRefused, StoreUnreachable

LOST = "the connection was lost while it was made"


class Address(Protocol):
    """A server, as far as connecting to it goes; its text, for errors, has no password."""

    @property
    def tls(self) -> bool: ...
    @property
    def connect_timeout(self) -> float: ...
    @property
    def ca_certs(self) -> str | None: ...
    @property
    def certfile(self) -> str | None: ...
    @property
    def keyfile(self) -> str | None: ...
    @property
    def verify(self) -> bool: ...


A = TypeVar("A", bound=Address)
C = TypeVar("C")


async def first_of(addresses: Sequence[A], connect: Callable[[A], Awaitable[C]]) -> C:
    """A connection to the first server that gives one; raises what the last refused, or else the first that failed."""
    error: StoreError | None = None
    for address in addresses:
        try:
            return await connect(address)
        except StoreError as refused:
            if error is None or not isinstance(refused, StoreUnreachable):
                error = refused
    assert error is not None, "there is at least one address"
    raise error


@contextlib.asynccontextmanager
async def reaching(address: Address) -> AsyncIterator[None]:
    """Inside, a connection is made and logged in, within ``connect_timeout`` (0: in any time).

    Raises ``StoreUnreachable`` for a server that does not answer, ``StoreRefused`` where no encrypted connection comes
    about, which includes a certificate that is not trusted.
    """
    try:
        async with asyncio.timeout(address.connect_timeout or None):
            yield
    except TimeoutError:
        hint = ", or not in TLS" if address.tls else ""
        raise StoreUnreachable(f"{address}: no answer within {address.connect_timeout:g} s{hint}") from None
    except ssl.SSLCertVerificationError as error:
        raise StoreRefused(f"{address}: its certificate is not trusted: {error.verify_message}") from error
    except ssl.SSLEOFError as error:
        raise StoreUnreachable(f"{address}: {LOST}") from error
    except ssl.SSLError as error:
        raise StoreRefused(f"{address}: no TLS connection: {error.reason or error}") from error
    except socket.gaierror as error:
        raise StoreUnreachable(f"{address}: no such host: {error.strerror}") from error
    except OSError as error:  # one whose other end is lost in the middle of a handshake has no text
        raise StoreUnreachable(f"{address}: {error.strerror or str(error) or LOST}") from error


def encryption(address: Address) -> ssl.SSLContext | None:
    """How to encrypt, if at all; raises ``ConfigurationError`` for a file that cannot be read."""
    if not address.tls:
        return None
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
