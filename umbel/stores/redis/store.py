"""One Redis server as a store of messages: what its adapters have in common."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from umbel.errors import StoreError
from umbel.model import Envelope, Queue, Route, SealedRecord
from umbel.ports import QueueSize
from umbel.stores.redis.address import Address
from umbel.stores.redis.connection import Word
from umbel.stores.redis.layout import Layout, step_of, value_of
from umbel.stores.redis.link import Link, Script, Way
from umbel.stores.redis.listener import Hearing, Listener
from umbel.wire.kombu import addressed, has_eta
from umbel.wire.names import KEY_SEPARATOR

SETTLE = Script("settle", "record")
_CLAIMED = Script("claimed")
_WITHDRAW = Script("withdraw", "record")
COUNT = Script("count")

PARKED_HEAD = 17
"""Bytes that stand before the entry of a message that waits for its time."""

_numbers = itertools.count()


def parked(step: int, now: float, entry: bytes) -> bytes:
    """A message as it waits for its time: the number of its list, what orders those of the same time, the entry."""
    return b"%d%012x%04x" % (step, int(now * 1e6) & 0xFFFFFFFFFFFF, next(_numbers) & 0xFFFF) + entry


class Taken(NamedTuple):
    """A message that is taken back from where it waits, the list or the zset ``key``, and what is recorded then."""

    key: str
    entry: bytes
    records: Sequence[SealedRecord]


class RedisStore:
    """The server at ``addresses``, over one connection; ``queues`` are those that the user has declared, by name.

    Two adapters on the same server, database and prefix are on the same store, which ``place`` names.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        queues: Mapping[str, Queue] | None = None,
        layout: Layout | None = None,
        link: Way | None = None,
    ) -> None:
        self.addresses = addresses
        self.place = frozenset(address.place for address in self.addresses)
        self.layout = layout or Layout(self.addresses[0].prefix)
        self.link: Way = link or Link(self.addresses)
        self._queues = queues or {}

    def listener(self) -> Hearing:
        """What hears of that which is published there."""
        return Listener(self.addresses)

    # -- messages -------------------------------------------------------------------------------------------------

    def sending(self, route: Route, envelope: Envelope, now: float, *, again: bool = False) -> list[Word]:
        """What the script that settles is told to do for one message.

        What may wait for its time already is sent ``again`` to where it waits, however late it is: so it comes out
        second, and whoever gets it can find that out.
        """
        layout, queue = self.layout, route.queue
        entry = addressed(envelope.head, route.exchange, route.routing_key or queue, route.priority)
        step = step_of(route.priority)
        place = layout.lists(queue)[step]
        if route.due is None or (route.due <= now and not again):
            return ["L", place, entry]
        waiting: list[Word] = [layout.due(queue), route.due, parked(step, now, entry)]
        # Whoever reads the list must know that it is not yet due; without that it waits for a worker of umbel's.
        return ["P", layout.reads(queue), now, *waiting, place] if has_eta(entry) else ["Z", *waiting]

    def bindings(self, name: str) -> list[tuple[str, ...]]:
        """The commands by which others find a queue: clients of Celery's, and those who look for a message."""
        queue = self._queues.get(name) or Queue(name)
        bound = self.layout.binding(queue.exchange or name, queue.routing_key, name)
        return [("SADD", *bound), ("SADD", self.layout.queues, name)]

    def storing(self, record: SealedRecord, now: float) -> list[Word]:
        """What the script that settles is told to do for one record."""
        keys = self.layout.record(record.id), self.layout.side(record.id)
        lasting = 0 if record.expires is None else max(1, round((record.expires - now) * 1000))
        return ["S", *keys, record.state, record.payload, lasting, record.life]

    async def settle(self, args: Sequence[Word], keys: Sequence[str] | None = None) -> None:
        """Have the script that settles do this, with ``keys`` in the place of the usual ones; raises ``StoreError`` for
        what it could not."""
        told = await self.link.run(SETTLE, self.layout.touched if keys is None else keys, args)
        if len(told) > 1:
            raise self.misfit(told[2], told[3])

    async def write(self, records: Sequence[SealedRecord], now: float) -> None:
        """Store these, each in a step of its own; raises ``StoreError`` for what could not be stored."""
        args: list[Word] = [0]
        for record in records:
            args += ["-", 1, *self.storing(record, now)]
        await self.settle(args)

    async def take_back(self, queue: str, taken: Sequence[Taken], now: float) -> list[SealedRecord]:
        """Remove messages that nobody was handed, with their records stored in the step; gives the records of those
        that were there."""
        args: list[Word] = []
        for each in taken:
            args += [each.key, each.entry, len(each.records)]
            args += [word for record in each.records for word in self.storing(record, now)[1:]]
        told = await self.link.run(_WITHDRAW, [], args)
        return [record for each, was_there in zip(taken, told, strict=True) if was_there for record in each.records]

    def misfit(self, key: bytes, why: bytes) -> StoreError:
        """The error for a key that is not what it should be."""
        shown = key.decode("utf-8", "backslashreplace")
        return StoreError(
            f"{self.addresses[0]}: the key {shown!r} {why.decode()}: another program uses it; choose another database, "
            "or a global_keyprefix"
        )

    async def explained(self, error: StoreError, queues: Iterable[str]) -> StoreError:
        """The error that names the key which is not what it should be, where that is what ``error`` says."""
        if "WRONGTYPE" not in str(error):
            return error
        expected = self.layout.types(list(queues))
        found = await self.link.ask_all([("TYPE", key) for key in expected])
        for (key, wanted), is_ in zip(expected.items(), found, strict=True):
            if is_.decode() not in (wanted, "none"):
                return self.misfit(key.encode(), f"is a {is_.decode()} and should be a {wanted}".encode())
        return error

    async def size(self, queue: str) -> int:
        """Ready messages and those that wait for their time."""
        return sum(await self.link.run(COUNT, self.keys(queue), []))

    async def purge(self, queue: str) -> int:
        """Drop what ``size`` counts; gives how many that were."""
        return sum(await self.link.run(COUNT, self.keys(queue), ["drop"]))

    def keys(self, queue: str) -> list[str]:
        """The keys of a queue's messages, those that wait for their time last."""
        return [*self.layout.lists(queue), self.layout.due(queue)]

    # -- which queues there are -----------------------------------------------------------------------------------

    async def queues(self) -> list[QueueSize]:
        """Those that hold anything, by name."""
        names = sorted(await self.names())
        if not names:
            return []
        counts = await self.link.run(COUNT, [key for name in names for key in self.keys(name)], [])
        claimed = await self.link.run(_CLAIMED, [self.layout.unacked], [f"{value_of(name)}]" for name in names])
        each = len(counts) // len(names)
        sizes = [
            QueueSize(name, sum(counts[at : at + each - 1]), counts[at + each - 1], held)
            for at, name, held in zip(range(0, len(counts), each), names, claimed, strict=True)
        ]
        return [size for size in sizes if any(size[1:])]

    async def names(self) -> set[str]:
        """The queues that somebody has declared, or has sent to, Celery's clients among them."""
        link, pattern, cursor = self.link, f"{_escaped(self.layout.bindings)}*", b"0"
        keys: set[bytes] = set()
        while True:
            cursor, some = await link.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000, "TYPE", "set")
            keys.update(some)
            if cursor == b"0":
                break
        found = await link.ask_all([("SMEMBERS", key) for key in keys]) if keys else []
        members = {member.decode("utf-8", "replace") for some in found for member in some}
        return {member.rpartition(KEY_SEPARATOR)[2] for member in members}


def _escaped(text: str) -> str:
    """As a pattern that this text alone fits."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
