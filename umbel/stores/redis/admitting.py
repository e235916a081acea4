"""Asks a Redis server for the settings that decide what it keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from umbel.errors import StoreError
from umbel.stores.redis.link import Link
from umbel.stores.redis.store import RedisStore

_ASKED = ("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy", "min-replicas-to-write")


class _OnStore(Protocol):
    @property
    def keeper(self) -> RedisStore: ...


class AdmitsShortcomings:
    """``ports.Admits`` on ``keeper``."""

    async def shortcomings(self: _OnStore) -> Sequence[str]:
        found: list[str] = []
        for link in await self.keeper.link.servers():
            told = await _told(link)
            try:
                answers = await link.ask_all([("CONFIG", "GET", name) for name in _ASKED])
            except StoreError:  # servers that others look after keep this to themselves
                answers = []
            told |= {name.decode(): value.decode() for answer in answers for name, value in [answer[:2]] if answer}
            found += [f"{link.addresses[0]}: {sentence}" for sentence in shortcomings(told)]
        return found


async def _told(link: Link) -> dict[str, str]:
    """What the server tells to everybody, under the names of its settings where it has any."""
    parts = await link.ask_all([("INFO", part) for part in ("persistence", "memory", "replication")])
    lines = b"\n".join(parts).decode("utf-8", "replace").split()
    told = dict(line.partition(":")[::2] for line in lines if ":" in line)
    told["appendonly"] = "yes" if told.get("aof_enabled", "1") == "1" else "no"
    told["maxmemory-policy"] = told.get("maxmemory_policy", "noeviction")
    return told


def shortcomings(told: Mapping[str, str]) -> Iterator[str]:
    """One sentence for each promise that settings give up; what is not told is taken to be as it should."""
    if told.get("appendonly") == "no" and told.get("save") == "":
        yield "it keeps nothing on its disk, a restart loses every message (appendonly yes keeps them)"
    elif told.get("appendonly") == "no":
        yield "a restart may lose what came after its last snapshot (appendonly yes keeps every message)"
    elif told.get("appendfsync", "always") != "always":
        seconds = "second" if told["appendfsync"] == "everysec" else "half minute"
        yield f"a power cut may lose the last {seconds} (appendfsync always prevents it)"
    policy = told["maxmemory-policy"]
    if told.get("maxmemory", "0") != "0" and policy != "noeviction":
        lost = "results and dead letters" if policy.startswith("volatile") else "messages"
        yield f"when its memory is full it throws {lost} away (maxmemory-policy is {policy} and should be noeviction)"
    if told.get("connected_slaves", "0") != "0" and told.get("min-replicas-to-write", "1") == "0":
        yield "a failover may lose messages that no replica had (min-replicas-to-write 1 makes that less likely)"
