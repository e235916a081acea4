"""The ways to the servers of a Redis Cluster: each command goes to whoever has its key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from umbel.errors import StoreError, StoreUnreachable
from umbel.stores.redis.address import Address
from umbel.stores.redis.connection import Connection, Word
from umbel.stores.redis.link import PATIENCE, Link, Script, Way, insist
from umbel.stores.redis.refusals import Elsewhere
from umbel.stores.redis.slots import SlotMap, slot_of

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2
_OLD = 0.5
"""Seconds after which a server without a connection is not connected to before another was asked about it."""

_MOMENT = 1.0
"""Seconds for which a server is asked who has what, before the next one is."""


class ClusterLink:
    """As ``Link``, with a connection to each server that is needed; belongs to a loop.

    The first word after a command's name is its key, and the keys of a script are in one slot. What a server has not
    done because the key is elsewhere, or on its way, is asked there. What may have been done is not: the error says so.
    """

    def __init__(self, addresses: Sequence[Address], patience: float = PATIENCE, known: SlotMap | None = None) -> None:
        self.addresses = addresses
        self.map = known or SlotMap(addresses)
        self.worked = False
        """Whether a server has ever told what it knows of the others."""
        self._patience = patience
        self._links: dict[Address, Link] = {}
        self._version = -1

    @property
    def since(self) -> float:
        """When the newest connection was made, in the loop's seconds."""
        return max((link.since for link in self._links.values()), default=0.0)

    @property
    def standing(self) -> Connection | None:
        """A connection to any of the servers."""
        return next((link.standing for link in self._links.values() if link.standing is not None), None)

    async def connection(self) -> Connection:
        """A connection to any of the servers."""
        return self.standing or await (await self.servers())[0].connection()

    def at(self, key: str) -> SlotLink:
        """The way to whoever has this key."""
        return SlotLink(self, slot_of(key))

    async def ask(self, *words: Word) -> Any:
        """What whoever has the key answers; raises a ``StoreError`` where it says no."""
        return await self._follow(_slot(words), lambda link: link.ask(*words), words)

    async def ask_all(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """What several commands are answered, in no certain order."""
        return await all_of([self.ask(*words) for words in commands])

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """What a script gives."""
        words = ("EVAL", script.text, len(keys), *keys, *args)
        return await self._follow(slot_of(keys[0]), lambda link: link.run(script, keys, args), words)

    async def values(self, groups: Sequence[Sequence[str]]) -> list[Any]:
        """As ``Link.values``; a group has keys of one slot."""
        found = await self.ask_all([("MGET", *keys) for keys in groups])
        return [value for values in found for value in values]

    async def drop(self, groups: Sequence[Sequence[str]]) -> None:
        """As ``Link.drop``; a group has keys of one slot."""
        await self.ask_all([("DEL", *keys) for keys in groups])

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """As ``Link.insist``."""
        return await insist(self, ask)

    async def servers(self) -> Sequence[Link]:
        """The ways to all that have slots."""
        await self.learn()
        return [self._link(address) for address in self.map.primaries]

    def another(self, patience: float) -> Way:
        """A link of its own, which shares what is known."""
        return ClusterLink(self.addresses, patience, self.map)

    async def close(self) -> None:
        """Let go of all connections; the next use connects again."""
        links, self._links = list(self._links.values()), {}
        for link in links:
            await link.close()

    async def learn(self, *, anew: bool = False) -> None:
        """Have a server tell who has what, where that is not known; raises what the last one said."""
        known = self.map
        if anew:
            known.stale = True
        if known.stale:
            async with known.lock:
                if known.stale:
                    await self._learn()
        self.worked = True
        if self._version != known.version:
            self._version = known.version
            for address in [each for each in self._links if each not in known.primaries]:
                await self._links.pop(address).close()

    async def node(self, slot: int) -> Link:
        """The way to whoever has the slot."""
        if self.map.stale or self._version != self.map.version:
            await self.learn()
        owner = self.map.owner(slot)
        if owner is not None and self._link(owner).standing is None and self._is_old:
            # Another may have taken over, and whoever waits for the one that is gone may not wait until that is told.
            await self.learn(anew=True)
            owner = self.map.owner(slot)
        if owner is None:
            self.map.stale = True
            raise StoreUnreachable(
                f"{self.addresses[0]}: no server of its cluster has slot {slot} (redis-cli --cluster fix)"
            )
        return self._link(owner)

    def standing_at(self, slot: int) -> Connection | None:
        """The connection to whoever has the slot, if that is known and it works."""
        owner = None if self.map.stale else self.map.owner(slot)
        link = None if owner is None else self._links.get(owner)
        return None if link is None else link.standing

    def since_at(self, slot: int) -> float:
        """When that connection was made, or the slot came there."""
        owner = self.map.owner(slot)
        link = None if owner is None else self._links.get(owner)
        return 0.0 if link is None else max(link.since, self.map.since(slot))

    @property
    def _is_old(self) -> bool:
        return asyncio.get_running_loop().time() - self.map.learnt > _OLD

    async def _learn(self) -> None:
        error: StoreError | None = None
        candidates = self.map.candidates()
        for address in candidates:
            seconds = address.connect_timeout
            if address is not candidates[-1]:
                seconds = min(_MOMENT, seconds)
            known = self._links.get(address)
            link = known if known is not None and known.standing is not None else Link([address], self._patience)
            try:
                async with asyncio.timeout(seconds):
                    self.map.learn(address, await link.ask("CLUSTER", "SLOTS"))
                return
            except TimeoutError:
                error = error or StoreUnreachable(f"{address}: no answer within {seconds:g} s")
            except StoreError as refused:
                if error is None or not isinstance(refused, StoreUnreachable):
                    error = refused
            finally:
                if link is not known:
                    await link.close()
        assert error is not None, "there is at least one address"
        raise error

    def _link(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = Link([address], self._patience)
        return link

    async def _follow(self, slot: int, ask: Callable[[Link], Awaitable[Any]], words: Sequence[Word]) -> Any:
        """What ``ask`` gives at whoever has the slot. ``words`` are the same, for one who is only getting it."""
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        deadline = loop.time() + self._patience
        while True:
            link = await self.node(slot)
            try:
                try:
                    return await ask(link)
                except Elsewhere as error:
                    if not error.said.startswith("ASK "):
                        raise
                    receiver = self._link(self._named(link.addresses[0], error.said))
                    return (await receiver.ask_all([("ASKING",), words]))[1]
            except Elsewhere as error:
                if error.said.startswith("MOVED "):
                    self.map.moved(slot, self._named(link.addresses[0], error.said))
                if loop.time() + pause > deadline:
                    raise
            except StoreUnreachable as error:
                self.map.stale = True
                if error.doubtful or loop.time() + pause > deadline or not await self._has_gone(slot, link):
                    raise
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    async def _has_gone(self, slot: int, link: Link) -> bool:
        """Whether the slot is another server's by now."""
        try:
            await self.learn()
        except StoreError:
            return False
        return self.map.owner(slot) not in (None, link.addresses[0])

    def _named(self, asked: Address, said: str) -> Address:
        host, _, port = said.split()[2].rpartition(":")
        return self.map.place(asked, host, int(port))


class SlotLink:
    """As ``Link``, to whoever has the slot; what is asked of other slots goes to those who have them."""

    def __init__(self, cluster: ClusterLink, slot: int) -> None:
        self._cluster = cluster
        self._slot = slot
        self.ask, self.ask_all, self.run = cluster.ask, cluster.ask_all, cluster.run
        self.values, self.drop, self.insist = cluster.values, cluster.drop, cluster.insist
        self.servers, self.another, self.close = cluster.servers, cluster.another, cluster.close

    @property
    def worked(self) -> bool:
        """As of the cluster."""
        return self._cluster.worked

    @property
    def since(self) -> float:
        """When the connection was made, or the slot came there, in the loop's seconds."""
        return self._cluster.since_at(self._slot)

    @property
    def standing(self) -> Connection | None:
        """The connection, if there is one that works as far as is known."""
        return self._cluster.standing_at(self._slot)

    async def connection(self) -> Connection:
        """The connection, made now if there is none."""
        try:
            return await (await self._cluster.node(self._slot)).connection()
        except StoreUnreachable:
            self._cluster.map.stale = True
            raise


def _slot(words: Sequence[Word]) -> int:
    key = words[1]
    assert isinstance(key, str | bytes), "what is asked of a cluster has a key"
    return slot_of(key)


async def all_of(asked: Sequence[Awaitable[T]]) -> list[T]:
    """What these give; raises the first error when all have ended."""
    answers: list[T] = []
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer
        answers.append(answer)
    return answers
