"""Has the parts of chords counted in the result store, and says what their body gets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

from umbel import bridge
from umbel.app import Umbel
from umbel.errors import ChordError, StoreBusy, StoreFull, StoreUnreachable
from umbel.joins import Joined, Joins, Part
from umbel.model import Envelope, Links, Message, State
from umbel.settings.masking import mask_url
from umbel.wire import task_v2
from umbel.wire.chords import membership, seal_link, seal_member, unseal_link, unseal_member, values_of

logger = logging.getLogger("umbel.worker")

T = TypeVar("T")

CLAIM = 30.0
"""Seconds for which whoever joins a chord is believed to be about to send its body."""

KEPT = 86400.0
"""Seconds for which the end of what cannot be read is kept, at the least: no chord may wait for its group, and nobody
else look after it."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 5.0


def desk_of(app: Umbel, queue: str) -> str:
    """Where the bodies of chords stand that the workers of this queue, on this broker, are to send."""
    return f"{queue}@{mask_url(app.conf.broker_url)}"


class Ends(NamedTuple):
    """The values of all parts, or what stands against the body; ``part`` is one whose link the body is."""

    part: Message
    values: list[Any] | ChordError


class Joining:
    """Asks the store over this process's bridge, again and again while it is away; keeps nothing of any task."""

    def __init__(self, app: Umbel) -> None:
        self._app = app
        self._serializer: str = app.conf.result_serializer
        self._expires: float | None = app.conf.result_expires or None

    @cached_property
    def _store(self) -> Joins | None:
        backend = self._app.backend if self._app.result_url is not None else None
        return backend if isinstance(backend, Joins) else None

    @property
    def store(self) -> Joins:
        """The store, where there is one that can join parts."""
        assert self._store is not None
        return self._store

    @property
    def possible(self) -> bool:
        """Whether the store can join parts."""
        return self._store is not None

    async def expect(self, groups: Mapping[str, int]) -> None:
        """These groups have so many parts; returns when the store knows."""
        store = self._store
        if groups and store is not None:
            await self._ask(lambda: store.expect(groups, self._until()))

    async def end(self, message: Message, state: State, value: Any, queue: str, early: bool) -> Ends | None:
        """A part has ended so, which came from ``queue``. Gives what all have come to if it is the last, None for any
        other. Is it an ``early`` one, whose message cannot come again, the group stands at a desk until the body is
        sent.

        Raises ``EncodeError`` for a value that cannot be written, ``StoreError`` where the store cannot count it.
        """
        part = self.part_of(message, state, value)
        joined = await self._join(part._replace(desk=desk_of(self._app, queue)) if early else part)
        return None if joined is None else self._ends(message, joined)

    async def end_unread(self, envelope: Envelope, error: Exception) -> Ends | None:
        """As ``end``, of a part that has failed because it cannot be read."""
        part = self.unread_part_of(envelope, error)
        joined = None if part is None else await self._join(part)
        if joined is None:
            return None
        if joined.link is None:
            logger.error("The chord of [%s] is not told that it failed: its body is known to nobody", envelope.id)
            return None
        return self._ends(self._message_in(unseal_link(joined.link)), joined)

    async def again(self, message: Message) -> Ends | None:
        """What all parts of the group have come to, if one of them was told and it is not forgotten."""
        joined = await self._ask(lambda: self.store.given(message.group or ""))
        return None if joined is None else self._ends(message, joined)

    def part_of(self, message: Message, state: State, value: Any) -> Part:
        """The end of a part. Raises ``EncodeError``."""
        payload, whose = seal_member(message.id, state, value, self._serializer)
        bare = replace(message, args=(), kwargs={}, argsrepr="", kwargsrepr="", links=Links(chord=message.links.chord))
        link = seal_link(task_v2.encode(bare, self._app.broker.form, protection=self._app.protection))
        group, place = message.group or "", message.group_index
        return Part(group, message.id, payload, whose, place, self._until(), link, claim=CLAIM)

    def unread_part_of(self, envelope: Envelope, error: Exception) -> Part | None:
        """The end of a part that has failed and cannot be read; None for what is in no group. It expires even where
        nothing else does, until another part of the group ends."""
        known = membership(envelope)
        if known is None:
            return None
        id, group, place = known
        payload, whose = seal_member(id, State.FAILURE, error, self._serializer)
        expires = self._until() or self._app.clock.now() + KEPT
        return Part(group, id, payload, whose, place, expires)

    def _ends(self, message: Message, joined: Joined) -> Ends:
        accept = self._app.result_content
        members = [unseal_member(each, accept) for each in joined.ends]
        failed = next((each for each in members if each.failed), None)
        if failed is not None:
            return Ends(message, ChordError(f"Dependency {failed.id} raised {failed.value!r}"))
        return Ends(message, values_of(members, joined.nested, accept))

    def _message_in(self, envelope: Envelope) -> Message:
        app = self._app
        limit: int = app.conf.task_message_max_size
        return task_v2.decode(
            envelope, accept=app.accept_content, max_size=limit, protection=app.protection, fresh=False
        )

    def _until(self) -> float | None:
        return None if self._expires is None else self._app.clock.now() + self._expires

    async def _join(self, part: Part) -> Joined | None:
        return await self._ask(lambda: self.store.join(part))

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        way, backend = bridge.get(), self._app.backend

        async def entered() -> T:
            await way.entered(backend)
            return await work()

        if asyncio._get_running_loop() is None:
            return way.run(insist(entered))
        return await way.cross(insist(entered))


class Counting(Joining):
    """For the node, on whose loop the store is entered: counts parts, and leaves what follows to a runner that looks at
    the desk."""

    async def end(self, message: Message, state: State, value: Any, queue: str, early: bool) -> None:
        await self.count(self.part_of(message, state, value), queue)

    async def count(self, part: Part, queue: str) -> None:
        """Should all have ended now, anybody who looks at the desk of this queue may send the body at once."""
        await self._join(part._replace(desk=desk_of(self._app, queue), claim=0.0))

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        return await insist(work)


async def insist(work: Callable[[], Awaitable[T]]) -> T:
    """What ``work`` gives, asked again after a growing pause while the store is away, full or busy."""
    pause = _FIRST_PAUSE
    while True:
        try:
            return await work()
        except (StoreUnreachable, StoreFull, StoreBusy) as error:
            if pause == _FIRST_PAUSE:
                logger.error("The parts of a chord cannot be counted, and are tried again: %s", error)
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE, 2 * pause)
