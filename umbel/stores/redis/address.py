"""Reads a Redis URL: where a server is, and how to log in there."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from umbel.errors import ConfigurationError, UnknownOption

SENTINELS = ("sentinel", "sentinels")
CLUSTERS = ("rediscluster", "redisclusters")
SCHEMES = {
    "redis": False,
    "rediss": True,
    "redis+socket": False,
    "rediscluster": False,
    "redisclusters": True,
    "sentinel": False,
    "sentinels": True,
    "valkey": False,
    "valkeys": True,
}
"""Scheme → whether the connection is encrypted."""

OPTIONS = (
    "db",
    "virtual_host",
    "global_keyprefix",
    "visibility_timeout",
    "lease",
    "connect_timeout",
    "master_name",
    "sentinel_username",
    "sentinel_password",
    "sentinel_tls",
    "ssl_ca_certs",
    "ssl_certfile",
    "ssl_keyfile",
    "ssl_cert_reqs",
)
VISIBILITY_TIMEOUT = 3600.0
LEASE = 25.0
_UNVERIFIED = frozenset({"none", "cert_none", "optional", "cert_optional"})
_VERIFIED = frozenset({"required", "cert_required"})
_YES_AND_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Address(NamedTuple):
    """One server, and the part of its keys that is used.

    ``path`` is that of a unix socket, empty for TCP. ``prefix`` stands before every key and channel.
    ``visibility_timeout`` is the shortest that a Celery worker on these keys has, ``lease`` how long a claim stands
    that is not renewed; these and ``connect_timeout`` are in seconds. ``verify=False`` takes any certificate.

    With a ``master`` it is the address of a sentinel, where ``sentinel_user`` and ``sentinel_password`` log in; the
    rest is of the primary that it knows by this name. Certificates are for both; ``sentinel_tls`` says whether the
    sentinel is spoken to in TLS, None as ``tls`` does. With ``cluster`` it is a server of a Redis Cluster, which knows
    the others.
    """

    host: str
    port: int
    user: str
    password: str
    db: int = 0
    path: str = ""
    prefix: str = ""
    visibility_timeout: float = VISIBILITY_TIMEOUT
    lease: float = LEASE
    tls: bool = False
    connect_timeout: float = 5.0
    ca_certs: str | None = None
    certfile: str | None = None
    keyfile: str | None = None
    verify: bool = True
    master: str = ""
    sentinel_user: str = ""
    sentinel_password: str = ""
    sentinel_tls: bool | None = None
    cluster: bool = False

    @property
    def sentinel(self) -> Address:
        """How the sentinel itself is reached."""
        return self._replace(tls=self.tls if self.sentinel_tls is None else self.sentinel_tls)

    def primary(self, host: str, port: int) -> Address:
        """The server that a sentinel has named."""
        return self._replace(host=host, port=port, master="")

    @property
    def place(self) -> tuple[str, int, str, str, int, str]:
        """What two addresses have in common that lead to the same keys."""
        return self.host, self.port, self.path, self.master, self.db, self.prefix

    def __str__(self) -> str:
        """As in an error or a log: without the password."""
        secret = ":**" if self.password else ""
        login = f"{self.user}{secret}@" if self.user or secret else ""
        if self.path:
            return f"redis+socket://{login}{self.path}?virtual_host={self.db}"
        kind = "sentinel" if self.master else "rediscluster" if self.cluster else "redis"
        scheme = kind + ("s" if self.tls else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{login}{host}:{self.port}" + ("" if self.cluster else f"/{self.db}")

    def __repr__(self) -> str:
        return f"<Address {self}>"


def addresses(urls: str, name: str = "broker_url") -> list[Address]:
    """The servers of one URL, or of several with semicolons between; each is tried in turn.

    What is missing is ``localhost``, 6379, database 0 and no password. ``name`` is the setting that errors name. Raises
    ``ConfigurationError`` for what cannot be meant, without repeating a password.
    """
    found = [_address(url.strip(), name) for url in urls.split(";") if url.strip()]
    if not found:
        raise ConfigurationError(f"{name} is empty: write redis://:password@host:port/database")
    schemes = {urlsplit(url.strip()).scheme for url in urls.split(";") if url.strip()}
    if schemes & set(SENTINELS):
        return _sentinels(found, schemes, name)
    return _nodes(found, schemes, name) if schemes & set(CLUSTERS) else found


def _sentinels(found: list[Address], schemes: set[str], name: str) -> list[Address]:
    if not schemes <= set(SENTINELS):
        raise ConfigurationError(f"{name}: sentinels and servers cannot be named together")
    alike = _alike(found)
    if not alike[0].master:
        raise ConfigurationError(
            f"{name}: the name of what the sentinels watch is missing: write sentinel://host:26379/0?master_name=mymaster"
        )
    return alike


def _nodes(found: list[Address], schemes: set[str], name: str) -> list[Address]:
    """Servers of one cluster."""
    if len(schemes) > 1:
        raise ConfigurationError(
            f"{name}: all servers of a cluster are named with rediscluster://, or all with redisclusters://"
        )
    alike = _alike(found)
    address = alike[0]
    if address.db:
        raise ConfigurationError(
            f"{address}: a cluster has database 0 alone, and the URL says {address.db}; use a global_keyprefix"
        )
    if {"{", "}"} & set(address.prefix):
        raise ConfigurationError(
            f"{address}: global_keyprefix is {address.prefix!r} and must have no braces on a cluster"
        )
    return alike


_OF_EACH = {"host", "port"}


def _alike(found: list[Address]) -> list[Address]:
    """These, each with what the first URL says that says it."""
    said: dict[str, Any] = {}
    for address in reversed(found):
        values = address._asdict()
        default = Address._field_defaults
        said |= {field: value for field, value in values.items() if value != default.get(field, "")}
    shared = {field: value for field, value in said.items() if field not in _OF_EACH}
    return [address._replace(**shared) for address in found]


def _address(url: str, name: str) -> Address:
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise ConfigurationError(f"{name}: {parts.scheme}:// is no scheme of Redis; there are {known}")
    try:
        port = parts.port
    except ValueError:
        raise ConfigurationError(f"{name}: the port of the URL with the host {parts.hostname!r} is none") from None
    address = Address(
        host=parts.hostname or "localhost",
        port=port or (26379 if parts.scheme in SENTINELS else 6379),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls=SCHEMES[parts.scheme],
        cluster=parts.scheme in CLUSTERS,
    )
    path = unquote(parts.path)
    if parts.scheme == "redis+socket":
        if len(path) < 2:
            raise ConfigurationError(f"{name}: the path of the socket is missing: write redis+socket:///path/to/socket")
        address = address._replace(host="", port=0, path=path)
    elif path.strip("/"):
        address = address._replace(db=_database(address, path.strip("/")))
    given = parse_qsl(parts.query, keep_blank_values=True)
    for option, value in given:
        if option not in OPTIONS:
            raise UnknownOption(f"the options of {address}", option, OPTIONS)
        if option in _OF_SENTINELS and parts.scheme not in SENTINELS:
            raise ConfigurationError(f"{address}: {option} is for sentinel:// alone")
        address = _with_option(address, option, value)
    encrypted = address.tls or address.sentinel.tls
    for option, _ in given:
        if option.startswith("ssl_") and not encrypted:
            encrypting = {"rediscluster": "redisclusters://", "sentinel": "sentinels://, or sentinel_tls=true,"}
            alone = encrypting.get(parts.scheme, "rediss://")
            raise ConfigurationError(f"{address}: {option} is for {alone} alone")
    return address


_OF_SENTINELS = ("master_name", "sentinel_username", "sentinel_password", "sentinel_tls")


def _with_option(address: Address, name: str, value: str) -> Address:
    if name in ("db", "virtual_host"):
        return address._replace(db=_database(address, value.strip("/")))
    if name == "global_keyprefix":
        return address._replace(prefix=value)
    if name == "visibility_timeout":
        return address._replace(visibility_timeout=_seconds(address, name, value))
    if name == "lease":
        return address._replace(lease=_seconds(address, name, value))
    if name == "connect_timeout":
        return address._replace(connect_timeout=_seconds(address, name, value))
    if name == "master_name":
        return address._replace(master=value)
    if name == "sentinel_username":
        return address._replace(sentinel_user=value)
    if name == "sentinel_password":
        return address._replace(sentinel_password=value)
    if name == "sentinel_tls":
        return address._replace(sentinel_tls=_yes_or_no(address, name, value))
    if name == "ssl_ca_certs":
        return address._replace(ca_certs=value)
    if name == "ssl_certfile":
        return address._replace(certfile=value)
    if name == "ssl_keyfile":
        return address._replace(keyfile=value)
    return address._replace(verify=_verified(address, value))


def _database(address: Address, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{address}: the database is {text!r} and must be a number")
    return int(text)


def _seconds(address: Address, name: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise ConfigurationError(f"{address}: {name} is {value!r} and must be seconds, more than 0")
    return seconds


def _yes_or_no(address: Address, name: str, value: str) -> bool:
    known = _YES_AND_NO.get(value.lower())
    if known is None:
        raise ConfigurationError(f"{address}: {name} is {value!r} and must be true or false")
    return known


def _verified(address: Address, value: str) -> bool:
    word = value.lower()
    if word not in _UNVERIFIED | _VERIFIED:
        raise ConfigurationError(f"{address}: ssl_cert_reqs is {value!r} and must be required or none")
    return word in _VERIFIED
