"""A Redis Cluster as a store of messages and records."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from umbel.model import Queue, SealedRecord
from umbel.ports import QueueSize
from umbel.stores.redis.address import Address
from umbel.stores.redis.cluster import ClusterLink, all_of
from umbel.stores.redis.cluster_layout import ClusterLayout
from umbel.stores.redis.cluster_listener import ClusterListener
from umbel.stores.redis.connection import Word
from umbel.stores.redis.layout import tag, value_of
from umbel.stores.redis.link import Script
from umbel.stores.redis.store import COUNT, PARKED_HEAD, RedisStore, Taken

_WITHHOLD = Script("withhold")


class OfQueue(RedisStore):
    """What a cluster keeps of one queue, in one slot."""

    def bindings(self, name: str) -> list[tuple[str, ...]]:
        """None: where queues are known is another slot."""
        return []


class ClusterStore(RedisStore):
    """The cluster whose servers ``addresses`` know. ``of`` has what is one queue's, as a store on one server has it."""

    layout: ClusterLayout

    def __init__(self, addresses: Sequence[Address], queues: Mapping[str, Queue] | None = None) -> None:
        self.cluster = ClusterLink(addresses)
        super().__init__(addresses, queues, ClusterLayout(addresses[0].prefix), self.cluster)

    def of(self, queue: str) -> RedisStore:
        """The store of this queue's messages and dead letters. It makes no queue known: ``bindings`` does."""
        layout = ClusterLayout(self.layout.prefix, queue)
        return OfQueue(self.addresses, None, layout, self.cluster.at(layout.claims))

    def listener(self) -> ClusterListener:
        return ClusterListener(self.cluster)

    def bindings(self, name: str) -> list[tuple[str, ...]]:
        """The command by which those who look for messages find a queue."""
        return [("SADD", self.layout.queues, name)]

    async def names(self) -> set[str]:
        """The queues that somebody has declared, or has sent to."""
        return {name.decode("utf-8", "replace") for name in await self.link.ask("SMEMBERS", self.layout.queues)}

    async def queues(self) -> list[QueueSize]:
        sizes = await all_of([self._size(name) for name in sorted(await self.names())])
        return [size for size in sizes if any(size[1:])]

    async def _size(self, name: str) -> QueueSize:
        *ready, delayed = await self.link.run(COUNT, self.keys(name), [])
        return QueueSize(name, sum(ready), delayed, await self.link.ask("HLEN", self.of(name).layout.unacked))

    async def write(self, records: Sequence[SealedRecord], now: float) -> None:
        await all_of(
            [self.settle([0, "-", 1, *self.storing(each, now)], self.layout.recording(each.id)) for each in records]
        )

    async def take_back(self, queue: str, taken: Sequence[Taken], now: float) -> list[SealedRecord]:
        """As on one server, in three steps: the messages are claimed, the records stored, the messages removed. What is
        interrupted comes again when the claim ends, and is looked up then."""
        store, owner = self.of(queue), secrets.token_hex(8)
        tags: list[str] = []
        args: list[Word] = []
        for place, each in enumerate(taken):
            parked = each.key == store.layout.due(queue)
            step = int(each.entry[:1]) if parked else store.layout.lists(queue).index(each.key)
            tags.append(tag(owner, 0, step, place))
            args += [tags[-1], each.key, each.entry, PARKED_HEAD if parked else 0]
        lease = self.addresses[0].lease
        there = await store.link.run(_WITHHOLD, store.layout.touched, [lease, value_of(queue), *args])
        held = [(each, tag) for each, tag, was_there in zip(taken, tags, there, strict=True) if was_there]
        records = [record for each, _ in held for record in each.records]
        await self.write(records, now)
        await store.settle([len(held), *(tag for _, tag in held)])
        return records
