"""Keeps apart what the loops of one process have of an adapter."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

T = TypeVar("T")


class Closable(Protocol):
    """What one loop has, and closes when it leaves."""

    async def close(self) -> None: ...


L = TypeVar("L", bound=Closable)


class PerLoop(Generic[T]):
    """A value for each loop that an adapter was entered on: connections and locks belong to one.

    ``make()`` makes it, on that loop, at the first entrance; it is gone after as many leavings. Thread-safe. A fork has
    none of its parent's.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._pid = os.getpid()
        self._values: dict[asyncio.AbstractEventLoop, T] = {}
        """Each entry is touched by its own loop's thread alone."""
        self._entrances: Counter[asyncio.AbstractEventLoop] = Counter()

    def enter(self) -> None:
        """The adapter is entered on the running loop."""
        if self._pid != os.getpid():
            self._pid, self._values, self._entrances = os.getpid(), {}, Counter()
        loop = asyncio.get_running_loop()
        if loop not in self._values:
            self._values[loop] = self._make()
        self._entrances[loop] += 1

    def leave(self) -> T | None:
        """It is left there; gives what is to be closed, None while it is still entered or if it never was."""
        loop = asyncio.get_running_loop()
        self._entrances[loop] -= 1
        if self._entrances[loop] > 0:
            return None
        del self._entrances[loop]
        return self._values.pop(loop, None)

    @property
    def known(self) -> T | None:
        """The running loop's; None where none runs, or the adapter was not entered on it."""
        loop = asyncio._get_running_loop()
        return None if loop is None else self._values.get(loop)

    @property
    def here(self) -> T:
        """The running loop's."""
        value = self._values.get(asyncio.get_running_loop())
        assert value is not None, "the adapter is entered before it is used"
        return value

    def of(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """That loop's, from any thread; None where the adapter is not entered there."""
        return self._values.get(loop)

    @property
    def all(self) -> Sequence[T]:
        """Those of all loops, at this moment."""
        return list(self._values.values())


class EnteredPerLoop(Generic[L]):
    """The context manager of an adapter: what a loop has in ``_lines`` is closed when the adapter is left there."""

    _lines: PerLoop[L]

    async def __aenter__(self) -> Self:
        self._lines.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line = self._lines.leave()
        if line is not None:
            await line.close()
