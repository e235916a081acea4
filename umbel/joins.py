"""The port of result stores that can join the parts of chords."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable


class Part(NamedTuple):
    """The end of a task that the body of a chord waits for, as ``wire.chords`` writes it.

    The bytes of the payload from the first to the second place of ``whose`` tell whose it is: no other part has these
    there. ``place`` orders it among the others; those without one come last. ``expires`` is a unix time in seconds,
    None for never. ``link`` is of what the body can be made, for ``wire.chords``; empty where nobody could read it.

    A part whose message cannot come again has a ``desk``. Is it given the ends of all, its group stands there until
    somebody says that what follows is sent; for ``claim`` seconds this is believed to be about to happen.
    """

    group: str
    id: str
    payload: bytes
    whose: tuple[int, int]
    place: int | None = None
    expires: float | None = None
    link: bytes = b""
    desk: str = ""
    claim: float = 0.0


class Joined(NamedTuple):
    """The ends of all parts, in their order; ``nested`` is how a sender has nested them, for ``wire.chords``, None for
    not at all. ``link`` is the newest that a part had, None if none had one."""

    ends: Sequence[bytes]
    nested: bytes | None = None
    link: bytes | None = None


@runtime_checkable
class Joins(Protocol):
    """A result backend that knows when all parts of a chord have ended."""

    async def expect(self, groups: Mapping[str, int], expires: float | None) -> None:
        """Say how many parts each group has, before any of them is sent; durable when this returns."""
        ...

    async def join(self, part: Part) -> Joined | None:
        """Keep the end of this part, in the place of an earlier one.

        Gives the ends of all when they are there and nobody was given them before: whoever gets them sends what
        follows. A part that was given them, and is joined again, is given them again, with its newest end; any other
        changes nothing then.
        """
        ...

    async def given(self, group: str) -> Joined | None:
        """The ends of all, that a part was given; None when it was not, or they have expired."""
        ...

    async def unsent(self, desk: str, claim: float) -> Mapping[str, bytes]:
        """The groups at this desk, up to a hundred, that nobody is believed to be about to see to, with their links;
        whoever gets them is, for ``claim`` seconds."""
        ...

    async def hold(self, desk: str, groups: Sequence[str], claim: float) -> None:
        """Those of these groups that stand at this desk are seen to, for ``claim`` more seconds."""
        ...

    async def sent(self, desk: str, groups: Sequence[str]) -> None:
        """What follows these is sent: they stand at this desk no more."""
        ...
