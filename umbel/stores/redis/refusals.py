"""What a Redis server says when it does not do what it was asked, as umbel's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from umbel.errors import StoreError, StoreFull, StoreRefused, StoreUnreachable, StoreUnsuitable

if TYPE_CHECKING:
    from umbel.stores.redis.address import Address

AWAY = {
    "LOADING": "it is reading its data from the disk",
    "READONLY": "it is a replica, which takes no writes: name the primary, or the sentinels that know it",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "CLUSTERDOWN": "its cluster is down",
    "BUSY": "it is busy with somebody's script",
    "NOREPLICAS": "too few replicas are connected to it (min-replicas-to-write)",
    "UNBLOCKED": "it does not block any more",
}
"""The first word of an answer after which the same may work later, there or on another server."""

_LOCKED_OUT = {
    "WRONGPASS": "login refused: the user or the password is wrong",
    "NOAUTH": "login refused: the server wants a password, and the URL has none",
    "NOPERM": "forbidden",
    "DENIED": "it lets nobody in from another machine (protected-mode)",
}

_FULL = {
    "OOM": "no memory is left for it (maxmemory)",
    "MISCONF": "it cannot write to its disk",
}

_APART = {"MOVED", "ASK", "CROSSSLOT", "TRYAGAIN"}


class Elsewhere(StoreUnreachable):
    """A server of a cluster has not done it: ``said`` tells who would, or that the keys are on their way."""

    said = ""


def refusal(address: Address, said: str) -> StoreError:
    """The error for an answer that says no."""
    word, _, rest = said.partition(" ")
    if word in AWAY:
        return StoreUnreachable(f"{address}: {AWAY[word]} ({said:.120})")
    if word in _LOCKED_OUT:
        return StoreRefused(f"{address}: {_LOCKED_OUT[word]}: {rest:.120}")
    if word in _FULL:
        return StoreFull(f"{address}: {_FULL[word]}: {rest:.120}")
    if word in _APART and address.cluster and word != "CROSSSLOT":
        elsewhere = Elsewhere(f"{address}: its keys are on their way to another server ({said:.120})")
        elsewhere.said = said
        return elsewhere
    if word in _APART and not address.cluster:
        return _of_a_cluster(address, said)
    if "AUTH" in said and "without any password" in said:
        return StoreRefused(f"{address}: login refused: the server has no password, and the URL has one")
    if "DB index is out of range" in said or "invalid DB index" in said:
        return StoreRefused(f"{address}: there is no database {address.db} (databases)")
    if "max number of clients" in said:
        return StoreUnreachable(f"{address}: it lets no more connections in: {said:.120}")
    return StoreError(f"{address}: {said:.200}")


def _of_a_cluster(address: Address, said: str) -> StoreUnsuitable:
    url = address._replace(cluster=True, path="", master="", host=address.host or "host", port=address.port or 6379)
    return StoreUnsuitable(f"{address}: it is a node of a cluster, whose keys are spread: write {url} ({said:.120})")
