"""The ports of what follows tasks: how far they are, and how many stand before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from umbel.ports import Marks

MOST_AHEAD = 10_000
"""Messages that stand before one are counted so far."""


class Note(NamedTuple):
    """How far a task is, as its runner said last.

    ``payload`` is for ``wire.notes``, no store looks inside. ``turn`` grows with every attempt and every life: a note
    of an older turn never replaces one of a newer, and within a turn a ``final`` one is the last. ``share`` is what the
    task counts as among the children of the task ``parent``: ``running``, ``done``, ``failed``, or empty for nothing.
    ``expires`` is a unix time in seconds.
    """

    id: str
    seq: int
    payload: bytes
    expires: float
    turn: int = 0
    final: bool = False
    parent: str | None = None
    share: str = ""


class Seen(NamedTuple):
    """What is known of a task's progress: its note, if it has one, and how many of its children stand how."""

    note: Note | None = None
    done: int = 0
    failed: int = 0
    running: int = 0


@runtime_checkable
class Progress(Protocol):
    """Keeps how far tasks are. Every shared store offers it."""

    async def write_progress(self, notes: Sequence[Note]) -> None:
        """Write them, and in the same step the difference that each makes to the counts of its parent: a note that
        comes twice counts once. What an older turn says is left out."""
        ...

    async def read_progress(self, ids: Sequence[str]) -> Mapping[str, Seen]:
        """What is known of these, expired notes left out."""
        ...

    def watch_progress(self) -> AsyncIterator[frozenset[str]]:
        """The ids of which ``read_progress`` says something else than before, whoever wrote it; never ends.

        The first step is empty and says that nothing is missed from then on. An id may be told once for several
        changes; its last one always is.
        """
        ...


def keeper_of(broker: object, backend: object | None) -> Progress | None:
    """Where an app's workers write how far tasks are: the broker's store if it is one, which keeps marks too, else the
    result store, else whatever the broker has to tell others; None for nowhere."""
    if isinstance(broker, Progress) and isinstance(broker, Marks):
        return broker
    if isinstance(backend, Progress):
        return backend
    return broker if isinstance(broker, Progress) else None


@runtime_checkable
class Places(Protocol):
    """A broker that can tell how many messages are to be handed out before one that waits."""

    async def places(self, ids: Sequence[str]) -> Mapping[str, int]:
        """How many stand before each that is ready in its queue, at most ``MOST_AHEAD``; those that nobody waits for,
        or that have not come due, are left out. Where there is no index, those may be, too, that stand further back."""
        ...
