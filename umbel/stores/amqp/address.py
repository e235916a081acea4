"""Reads an AMQP URL: where a server is, and how to log in there."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from umbel.errors import ConfigurationError, UnknownOption

HEARTBEAT = 12.0
"""Seconds: a machine that died is noticed after twice as many."""

SCHEMES = {"amqp": False, "pyamqp": False, "amqps": True}
"""Scheme → whether the connection is encrypted."""

OPTIONS = ("heartbeat", "connect_timeout", "ca_certs", "certfile", "keyfile", "verify")


class Address(NamedTuple):
    """One server. ``heartbeat`` and ``connect_timeout`` are in seconds; ``verify=False`` takes any certificate."""

    host: str
    port: int
    user: str
    password: str
    vhost: str
    tls: bool = False
    heartbeat: float = HEARTBEAT
    connect_timeout: float = 5.0
    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True

    def __str__(self) -> str:
        """As in an error or a log: without the password."""
        scheme = "amqps" if self.tls else "amqp"
        vhost = "/" if self.vhost == "/" else self.vhost
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{self.user}:**@{host}:{self.port}/{vhost}"

    def __repr__(self) -> str:
        return f"<Address {self}>"


def addresses(urls: str) -> list[Address]:
    """The servers of one URL, or of several with semicolons between; each is tried in turn.

    As in Celery, what is missing is ``guest``, ``guest``, ``localhost``, 5672 (5671 with TLS) and the virtual host
    ``/``, which may be written ``//`` or ``/%2f``. Raises ``ConfigurationError`` for what cannot be meant, without
    repeating a password.
    """
    found = [_address(url.strip()) for url in urls.split(";") if url.strip()]
    if not found:
        raise ConfigurationError("broker_url is empty: write amqp://user:password@host:port/vhost")
    return found


def _address(url: str) -> Address:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        raise ConfigurationError(f"broker_url: {parts.scheme}:// is no scheme of AMQP; write amqp:// or amqps://")
    tls = SCHEMES[parts.scheme]
    try:
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"broker_url: the port of the URL with the host {parts.hostname!r} is none") from None
    path = unquote(parts.path[1:])
    address = Address(
        host=parts.hostname or "localhost",
        port=port or (5671 if tls else 5672),
        user=unquote(parts.username) if parts.username is not None else "guest",
        password=unquote(parts.password) if parts.password is not None else "guest",
        vhost=path or "/",
        tls=tls,
    )
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            raise UnknownOption(f"the options of {address}", name, OPTIONS)
        address = address._replace(**{name: _option(address, name, value)})
    return address


def _option(address: Address, name: str, value: str) -> Any:
    if name in ("heartbeat", "connect_timeout"):
        try:
            seconds = float(value)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < 65536:
            raise ConfigurationError(f"{address}: {name} is {value!r} and must be seconds from 0 to 65535")
        return seconds
    if name == "verify":
        if value.lower() not in ("true", "false"):
            raise ConfigurationError(f"{address}: verify is {value!r} and must be true or false")
        return value.lower() == "true"
    if not address.tls:
        raise ConfigurationError(f"{address}: {name} is for amqps:// alone")
    return value
