"""Which server of a Redis Cluster has which keys."""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Sequence
from typing import Any

from umbel.stores.redis.address import Address

SLOTS = 16384


def slot_of(key: str | bytes) -> int:
    """The slot of a key: that of what stands between its first ``{`` and the next ``}``, if anything does."""
    name = key.encode("utf-8", "surrogatepass") if isinstance(key, str) else key
    begin = name.find(b"{")
    if begin >= 0:
        end = name.find(b"}", begin + 1)
        if end > begin + 1:
            name = name[begin + 1 : end]
    return binascii.crc_hqx(name, 0) % SLOTS


class SlotMap:
    """What a server of the cluster of ``addresses`` told last. Links on one loop share it."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._owners: list[Address | None] = [None] * SLOTS
        self._turn = 0
        self.primaries: list[Address] = []
        """Those that have slots."""
        self.stale = True
        """Whether a server is to be asked before the next look."""
        self.version = 0
        """Grows with every change."""
        self.learnt = 0.0
        """When a server has told, in the loop's seconds."""
        self._since: dict[int, float] = {}
        self.lock = asyncio.Lock()
        """Held by whoever asks."""

    def owner(self, slot: int) -> Address | None:
        """Who has the slot; None for nobody."""
        return self._owners[slot]

    def since(self, slot: int) -> float:
        """When the slot got its owner, in the loop's seconds; 0 where it was that one's when it was first asked for."""
        return self._since.get(slot, 0.0)

    def candidates(self) -> list[Address]:
        """Whom to ask, each time another one first: one that is cut off tells what was."""
        self._turn += 1
        known = list(dict.fromkeys([*self.primaries, *self._addresses]))
        first = self._turn % len(known)
        return known[first:] + known[:first]

    def place(self, asked: Address, host: str, port: int) -> Address:
        """Another server of the cluster, as ``asked`` calls it: without a host, one on the same."""
        return asked._replace(host=host or asked.host, port=port)

    def learn(self, asked: Address, told: Sequence[Any]) -> None:
        """Take in what ``asked`` says to CLUSTER SLOTS."""
        owners: list[Address | None] = [None] * SLOTS
        primaries: dict[Address, None] = {}
        for first, last, primary, *_ in told:
            host = (primary[0] or b"").decode()
            owner = self.place(asked, "" if host == "?" else host, int(primary[1]))
            owners[first : last + 1] = [owner] * (last - first + 1)
            primaries[owner] = None
        self.learnt = now = asyncio.get_running_loop().time()
        if owners != self._owners:
            self.version += 1
            pairs = enumerate(zip(self._owners, owners, strict=True))
            self._since |= {slot: now for slot, (old, new) in pairs if old is not None and old != new}
        self._owners, self.primaries, self.stale = owners, list(primaries), False

    def moved(self, slot: int, owner: Address) -> None:
        """The slot is there now, as the server says that had it."""
        self._owners[slot] = owner
        self._since[slot] = asyncio.get_running_loop().time()
        self.version += 1
        self.stale = True
        self._turn = -1  # the next to be asked is the one that knows of it
        self.primaries = [owner, *(each for each in self.primaries if each != owner)]
