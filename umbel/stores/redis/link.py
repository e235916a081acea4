"""A connection to a Redis server that is made when it is needed, and made again when it was lost."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from hiredis import ReplyError

from umbel.errors import StoreUnreachable
from umbel.stores.redis.address import Address
from umbel.stores.redis.connection import Connection, Word
from umbel.stores.redis.opening import connect
from umbel.stores.redis.refusals import AWAY, refusal

T = TypeVar("T")

PATIENCE = 15.0
"""Seconds without a sign of life in an answer that is awaited, after which a connection counts as lost."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_HERE = Path(__file__).parent


class Script:
    """A script by its name, which is that of its file here; ``begin`` names another that it begins with."""

    def __init__(self, name: str, begin: str | None = None) -> None:
        self.text = b"".join((_HERE / f"{each}.lua").read_bytes() for each in (begin, name) if each is not None)
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest()


class Way(Protocol):
    """How a store asks its server, or its servers: those of ``Link``, and what they promise."""

    @property
    def worked(self) -> bool: ...

    @property
    def since(self) -> float: ...

    @property
    def standing(self) -> Connection | None: ...

    async def connection(self) -> Connection: ...

    async def ask(self, *words: Word) -> Any: ...

    async def ask_all(self, commands: Sequence[Sequence[Word]]) -> list[Any]: ...

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any: ...

    async def values(self, groups: Sequence[Sequence[str]]) -> list[Any]: ...

    async def drop(self, groups: Sequence[Sequence[str]]) -> None: ...

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T: ...

    async def servers(self) -> Sequence[Link]: ...

    def another(self, patience: float) -> Way: ...

    async def close(self) -> None: ...


class Link:
    """The way to one server of ``addresses``; belongs to a loop. ``patience`` is in seconds."""

    def __init__(self, addresses: Sequence[Address], patience: float = PATIENCE) -> None:
        self.addresses = addresses
        self._patience = patience
        self._connection: Connection | None = None
        self._lock = asyncio.Lock()
        self.worked = False
        """Whether a server has ever let this in."""
        self.since: float = 0.0
        """When the connection was made, in the loop's seconds."""

    @property
    def standing(self) -> Connection | None:
        """The connection, if there is one that works as far as is known."""
        known = self._connection
        return known if known is not None and not known.lost.done() else None

    async def connection(self) -> Connection:
        """The connection, made now if there is none; raises what ``connect`` does."""
        known = self.standing
        if known is not None:
            return known
        async with self._lock:
            if self.standing is None:
                self._connection = await connect(self.addresses, self._patience)
                self.since = asyncio.get_running_loop().time()
                self.worked = True
            assert self._connection is not None
            return self._connection

    async def ask(self, *words: Word) -> Any:
        """What the server answers; raises a ``StoreError`` where it says no."""
        connection = await self.connection()
        if not connection.takes_more:
            await connection.writable()
        return checked(connection, await connection.ask(*words))

    async def ask_all(self, commands: Sequence[Sequence[Word]]) -> list[Any]:
        """What it answers to several commands, one after the other."""
        connection = await self.connection()
        answers = await asyncio.gather(*(connection.ask(*words) for words in commands))
        return [checked(connection, answer) for answer in answers]

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Word]) -> Any:
        """What a script gives; raises as ``ask``."""
        connection = await self.connection()
        if not connection.takes_more:
            await connection.writable()
        answer = await connection.ask("EVALSHA", script.digest, len(keys), *keys, *args)
        if isinstance(answer, ReplyError) and str(answer).startswith("NOSCRIPT"):
            answer = await connection.ask("EVAL", script.text, len(keys), *keys, *args)
        return checked(connection, answer)

    async def values(self, groups: Sequence[Sequence[str]]) -> list[Any]:
        """What MGET says of the keys of all groups; those of a group are read in one step."""
        return list(await self.ask("MGET", *(key for keys in groups for key in keys)))

    async def drop(self, groups: Sequence[Sequence[str]]) -> None:
        """Remove the keys of all groups; those of a group in one step."""
        await self.ask("DEL", *(key for keys in groups for key in keys))

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What ``ask`` gives, asked again and again while a server that has been there is away."""
        return await insist(self, ask)

    async def servers(self) -> Sequence[Link]:
        """The servers that hold something: this one."""
        return [self]

    def another(self, patience: float) -> Self:
        """A link of its own to the same."""
        return type(self)(self.addresses, patience)

    async def close(self) -> None:
        """Let go of the connection; the next use connects again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


async def insist(link: Way, ask: Callable[[], Awaitable[T]]) -> T:
    """What ``ask`` gives, asked again and again while a server that has been there is away."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return await ask()
        except StoreUnreachable:
            if not link.worked:
                raise
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)


def checked(connection: Connection, answer: Any) -> Any:
    """The answer; raises the ``StoreError`` for one that says no. A server that cannot be used now is left."""
    if not isinstance(answer, ReplyError):
        return answer
    said = str(answer)
    error = refusal(connection.address, said)
    if isinstance(error, StoreUnreachable) and said.partition(" ")[0] in AWAY:
        connection.abort(StoreUnreachable(str(error)))
    raise error
