"""A coroutine in which an exception can be raised where it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

from umbel.attempt import Ended


class Interruptible:
    """Awaiting it runs ``coroutine`` to its end and gives its value. Everything else belongs to the loop's thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[Any] | None = None
        self._error: BaseException | None = None
        self._end: Ended | None = None
        self.stepping = False
        """Whether the coroutine's own code is being run at this moment, for a signal handler to look at."""

    def interrupt(self, error: BaseException) -> None:
        """Raise ``error`` where it waits; nothing happens when it has ended."""
        self._error = error
        if self._task is not None:
            self._task.cancel()

    def end(self, ended: Ended) -> None:
        """Cancel it; however it takes that, awaiting it raises ``ended``. Nothing happens when it has ended."""
        self._end = ended
        if self._task is not None:
            self._task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        if self._end is not None:
            self._coroutine.close()
            raise self._end
        self._task = asyncio.current_task()
        value = None
        try:
            value = yield from self._steps()
        except BaseException:
            if self._end is None:
                raise
        finally:
            self._task = None
        if self._end is not None:
            raise self._end
        return value

    def _steps(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        error: BaseException | None = None
        value: Any = None
        while True:
            if self._error is not None:  # in place of the cancellation, which an inner task may have swallowed
                error, self._error = self._error, None
                if self._task is not None:
                    self._task.uncancel()
            self.stepping = True
            try:
                waits_for = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                self.stepping = False
            error = value = None
            try:
                value = yield waits_for
            except BaseException as raised:  # noqa: BLE001  it is the coroutine's
                error = raised
