"""Publishes to a Redis server, and says for sure what was taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from umbel.clock import Clock
from umbel.errors import StoreError, StoreUnreachable
from umbel.model import Envelope, Route
from umbel.stores.redis.connection import Connection, Word
from umbel.stores.redis.layout import Layout
from umbel.stores.redis.store import SETTLE, RedisStore
from umbel.wire.marking import resent

Messages = Sequence[tuple[Route, Envelope]]
Told = Callable[[BaseException | None], None]
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Outlet:
    """One way out for many publishers on one loop; ``patience`` is the time in seconds for which a server that was
    there before is waited for."""

    def __init__(self, store: RedisStore, clock: Clock, patience: float) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience
        self._bound: tuple[Connection | None, set[str]] = (None, set())
        """The queues that clients of others find, as this connection has seen to."""

    async def publish(self, messages: Messages, failed: StoreError | None = None, *, follow: bool = False) -> None:
        """Return when the server has taken all of them, in one step; with ``follow`` even if it has no room.

        A server that has been there is waited for; what was on its way when the connection was lost is sent again,
        marked ``umbel_resent``. Raises ``StoreUnreachable`` at once when there never was a server. ``failed`` is how an
        attempt ended in which they were written: this goes on from there.
        """
        if not messages:
            return
        store, loop = self._store, asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        pause, doubtful = _FIRST_PAUSE, False
        while True:
            try:
                if failed is not None:
                    error, failed = failed, None
                    raise error
                self._bind(await store.link.connection(), messages)
                await self._write(self._things(messages, doubtful), messages, follow)
                return
            except StoreUnreachable as why:
                if why.doubtful and not doubtful:
                    doubtful = True
                    messages = [(route, resent(envelope)) for route, envelope in messages]
                if not store.link.worked or loop.time() + pause > deadline:
                    lost = StoreUnreachable(str(why))
                    lost.doubtful = doubtful
                    raise lost from why
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def post(self, messages: Messages, then: Told) -> Callable[[], None]:
        """See ``shortcuts.Posts``: what needs no waiting is written with others of this turn of the loop."""
        connection = self._store.link.standing
        if connection is None or not messages or not connection.takes_more:
            return Posting(self, messages, then).begin()
        self._bind(connection, messages)
        answer = connection.ask(*command_of(self._store.layout, self._things(messages)))
        posting = Posting(self, messages, then)
        answer.add_done_callback(posting.answered)
        return posting.withdraw

    async def _write(self, things: list[list[Word]], messages: Messages, follow: bool) -> None:
        store = self._store
        pushing = None if follow else _pushing(things)
        if pushing is not None:
            try:
                await store.link.ask(*pushing)
            except StoreError as error:
                raise await store.explained(error, {route.queue for route, _ in messages}) from error
        else:
            await store.settle(_instead_of_nothing(things, "-" if follow else ""))

    def _things(self, messages: Messages, again: bool = False) -> list[list[Word]]:
        """What the script that settles would be told to do."""
        now = self._clock.now()
        return [self._store.sending(route, envelope, now, again=again) for route, envelope in messages]

    def _bind(self, connection: Connection, messages: Messages) -> None:
        """Have clients of others find the queues, as they would have made them; nobody waits for it."""
        if self._bound[0] is not connection:
            self._bound = (connection, set())
        known = self._bound[1]
        for route, _ in messages:
            if route.queue not in known:
                known.add(route.queue)
                for command in self._store.bindings(route.queue):
                    connection.ask(*command).add_done_callback(_unheard)


def command_of(layout: Layout, things: list[list[Word]]) -> list[Word]:
    """The command that does all of these in one step, where the server knows the script that settles."""
    keys = layout.touched
    return _pushing(things) or ["EVALSHA", SETTLE.digest, len(keys), *keys, *_instead_of_nothing(things)]


def taken(said: Any) -> bool:
    """Whether this answer to ``command_of`` says that all of it was done; else nothing was."""
    return isinstance(said, int) or (isinstance(said, list) and len(said) == 1)


def _pushing(things: list[list[Word]]) -> list[Word] | None:
    """The command that does these, where one does: messages that are ready, all for one list."""
    first = things[0]
    if any(thing[0] != "L" or thing[1] != first[1] for thing in things):
        return None
    return ["LPUSH", first[1], *(thing[2] for thing in things)]


def _instead_of_nothing(things: list[list[Word]], tag: str = "") -> list[Word]:
    """What the script that settles is told: all of these in one step, in the place of no delivery."""
    return [0, tag, len(things), *(word for thing in things for word in thing)]


def _unheard(answer: asyncio.Future[object]) -> None:
    """What was published beside it has the same fate."""
    if not answer.cancelled():
        answer.exception()


class Publishes(Protocol):
    """One that may wait until messages are taken."""

    async def publish(self, messages: Messages, failed: StoreError | None = None) -> None: ...


class Posting:
    """What one caller has posted: told how it ended, whatever it takes."""

    __slots__ = ("_messages", "_outlet", "_task", "_then", "_withdrawn")

    def __init__(self, outlet: Publishes, messages: Messages, then: Told) -> None:
        self._outlet = outlet
        self._messages = messages
        self._then = then
        self._task: asyncio.Task[None] | None = None
        self._withdrawn = False

    def begin(self, failed: StoreError | None = None) -> Callable[[], None]:
        """Take the way on which one may wait; gives what withdraws it."""
        self._task = asyncio.get_running_loop().create_task(self._outlet.publish(self._messages, failed))
        self._task.add_done_callback(self._ended)
        return self.withdraw

    def answered(self, answer: asyncio.Future[object]) -> None:
        """How the attempt ended in which they were written at once."""
        error = answer.exception()
        said = None if error is not None else answer.result()
        if error is None and taken(said):
            self._then(None)
        elif self._withdrawn:
            self._then(error or StoreError("it was withdrawn"))
        else:  # nothing was taken, or that is in doubt: the other way finds out
            self.begin(error if isinstance(error, StoreError) else None)

    def withdraw(self) -> None:
        """What is not written by now is not written any more."""
        self._withdrawn = True
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._then(StoreError("it was withdrawn") if task.cancelled() else task.exception())
