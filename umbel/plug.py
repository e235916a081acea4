"""Finds the adapter for a URL by its scheme: umbel's own first, then those that other packages offer by entry point."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from umbel.errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BROKER_GROUP = "umbel.brokers"
BACKEND_GROUP = "umbel.backends"


class _Adapter(NamedTuple):
    """Where umbel's own adapter is, and the extra that brings its driver, None where it needs none."""

    target: str
    extra: str | None = None


_OWN: dict[str, dict[str, _Adapter]] = {
    BROKER_GROUP: {
        "amqp": _Adapter("umbel.brokers.amqp:AmqpBroker", "amqp"),
        "amqps": _Adapter("umbel.brokers.amqp:AmqpBroker", "amqp"),
        "memory": _Adapter("umbel.brokers.memory:MemoryBroker"),
        "pyamqp": _Adapter("umbel.brokers.amqp:AmqpBroker", "amqp"),
        "redis": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
        "redis+socket": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
        "rediscluster": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
        "redisclusters": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
        "rediss": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
        "sentinel": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
        "sentinels": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
        "sqlite": _Adapter("umbel.brokers.sqlite:SqliteBroker"),
        "valkey": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
        "valkeys": _Adapter("umbel.brokers.redis:RedisBroker", "redis"),
    },
    BACKEND_GROUP: {
        "memory": _Adapter("umbel.backends.memory:MemoryBackend"),
        "redis": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
        "redis+socket": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
        "rediscluster": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
        "redisclusters": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
        "rediss": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
        "rpc": _Adapter("umbel.backends.rpc:RpcBackend", "amqp"),
        "sentinel": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
        "sentinels": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
        "sqlite": _Adapter("umbel.backends.sqlite:SqliteBackend"),
        "valkey": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
        "valkeys": _Adapter("umbel.backends.redis:RedisBackend", "redis"),
    },
}
"""Looked at before any entry point: reading those costs milliseconds, and a source checkout has none."""


def broker_class(url: str) -> type[Any]:
    """The broker adapter for the URL's scheme; it is made as ``cls(url, settings)``.

    Raises ``ConfigurationError`` for a scheme that nobody serves, with those that are served, and for an adapter that
    does not import; ``MissingExtra`` when it lacks its driver.
    """
    return _adapter(BROKER_GROUP, url, "broker")


def backend_class(url: str) -> type[Any]:
    """The result backend adapter for the URL's scheme; made and raising as ``broker_class``."""
    return _adapter(BACKEND_GROUP, url, "result backend")


def has_backend(url: str) -> bool:
    """Whether results can be kept at this broker's URL; nothing is imported to answer."""
    scheme = _scheme(url)
    return scheme in _OWN[BACKEND_GROUP] or scheme in _offered(BACKEND_GROUP)


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _offered(group: str) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name.lower(): point for point in entry_points(group=group)}


def _adapter(group: str, url: str, kind: str) -> type[Any]:
    scheme = _scheme(url)
    own = _OWN[group].get(scheme)
    if own is not None:
        return _load_own(own, f"{kind} {scheme}://")
    offered = _offered(group)
    if scheme in offered:
        return _load_offered(offered[scheme], f"{kind} {scheme}://")
    # The URL itself may hold a password, so only its scheme is repeated.
    known = sorted({*_OWN[group], *offered})
    near = difflib.get_close_matches(scheme, known, n=1)
    served = ", ".join(f"{name}://" for name in known)
    hint = f"; did you mean {near[0]}://?" if near else ""
    raise ConfigurationError(f"no {kind} for URLs that begin with {scheme[:40]!r}; there are {served}{hint}")


def _load_own(adapter: _Adapter, what: str) -> type[Any]:
    module, _, name = adapter.target.partition(":")
    try:
        return _as_class(getattr(import_module(module), name), what)
    except ModuleNotFoundError as error:
        if adapter.extra is None or (error.name or "").partition(".")[0] == "umbel":
            raise
        raise MissingExtra(what, adapter.extra) from error


def _load_offered(point: EntryPoint, what: str) -> type[Any]:
    package = point.dist.name if point.dist is not None else point.module
    try:
        return _as_class(point.load(), f"{what} ({point.value} of {package})")
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"{what} is offered by the package {package} as {point.value}, which does not load: {error}; "
            f"install what is missing, or another version of {package}"
        ) from error


def _as_class(found: object, what: str) -> type[Any]:
    if not isinstance(found, type):
        raise ConfigurationError(f"{what} is {found!r}; an adapter is a class, made as cls(url, settings)")
    return found
