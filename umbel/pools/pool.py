"""What a runner asks of a pool."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

from umbel.attempt import Ended
from umbel.middleware import Runnable
from umbel.model import Message

Job = tuple[int, Callable[[], Coroutine[Any, Any, Any]]]
"""A delivery's number and its life, which raises nothing."""

HandOver = Callable[[list[Any], list[int]], None]
"""Gets the reports of the deliveries that ended, and the numbers that were not started as they had been taken back."""


class Starts(Protocol):
    """Where it is written down what runs, and in which slot."""

    def start(self, number: int, slot: int = 0) -> bool: ...

    def resume(self, number: int, slot: int) -> None: ...

    def finish(self, slot: int = 0) -> None: ...


class Flag(Protocol):
    """Something that a life waits for."""

    def set(self) -> None:
        """From any thread: it has happened."""
        ...

    async def wait(self) -> None:
        """Return when it has happened."""
        ...


class Pool(Protocol):
    """Runs deliveries. ``put``, ``interrupt``, ``cancel`` and ``stop`` may be called from any thread."""

    @property
    def turn(self) -> Callable[[int], Awaitable[None]] | None:
        """Awaited with a delivery's number before its plain function is called, where such functions take turns."""
        ...

    def put(self, jobs: Sequence[Job]) -> None:
        """Queue some deliveries behind those that wait."""
        ...

    def stop(self) -> None:
        """Let ``serve`` return when everything before this is done."""
        ...

    def interrupt(self, number: int) -> None:
        """The soft limit of ``number`` is over."""
        ...

    def cancel(self, number: int, ended: Ended, refuse: Callable[[], None]) -> None:
        """Cancel the coroutine of ``number``, whose call then raises ``ended``.

        ``refuse()`` is called when it runs a function that cannot be cancelled; nothing happens when it has ended.
        """
        ...

    async def call(self, task: Runnable, message: Message) -> Any:
        """Call the user's function: the one place that does."""
        ...

    def flag(self) -> Flag:
        """A flag for the life that asks."""
        ...

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Wait for a coroutine on the loop of ``async def`` tasks, before ``serve`` or when it has returned."""
        ...

    def serve(self) -> None:
        """Run what comes, until ``stop``."""
        ...

    def close(self) -> None:
        """End the loop of ``async def`` tasks; after ``serve``."""
        ...


class ThreadFlag:
    """A flag for whom a thread of its own runs."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """It has happened."""
        self._event.set()

    async def wait(self) -> None:
        """Return when it has happened; blocks the thread."""
        self._event.wait()
