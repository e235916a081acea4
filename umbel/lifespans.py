"""What lives as long as a runner of tasks: begun before its first task, ended after its last."""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from umbel.errors import ConfigurationError, UmbelError

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("umbel.worker")

Generating = TypeVar("Generating", bound=Callable[[], Iterator[Any] | AsyncIterator[Any]])
"""A generator function without parameters, sync or async, with one ``yield``."""


class Lifespans:
    """The lifespans of an app, in the order in which they were declared."""

    def __init__(self) -> None:
        self._functions: list[Callable[[], Any]] = []

    def add(self, function: Generating) -> Generating:
        """One more, behind the others. Raises ``ConfigurationError`` for what is no generator function."""
        if not inspect.isgeneratorfunction(function) and not inspect.isasyncgenfunction(function):
            raise ConfigurationError(
                f"@app.lifespan takes a function with a yield, def or async def, and without another decorator, "
                f"not {function!r}"
            )
        self._functions.append(function)
        return function

    @contextlib.contextmanager
    def entered(self, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Iterator[None]:
        """Begin all of them, and end them in reverse; ``run`` waits for a coroutine on the loop of the tasks.

        Raises ``UmbelError`` when one cannot begin; those before it are ended. An error at an end is logged, and the
        others end too.
        """
        with contextlib.ExitStack() as stack:
            for function in self._functions:
                name = f"{function.__module__}.{function.__qualname__}"
                try:
                    end = _begin(function, run)
                except Exception as error:
                    raise UmbelError(f"the lifespan {name} could not begin: {type(error).__name__}: {error}") from error
                stack.callback(_end, end, name)
            yield


def _begin(function: Callable[[], Any], run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Callable[[], object]:
    """Begin it; gives what ends it."""
    if inspect.isasyncgenfunction(function):
        span = _AsyncSpan(function)
        run(span.begin())
        return lambda: run(span.end())
    manager = contextlib.contextmanager(function)()
    manager.__enter__()
    return lambda: manager.__exit__(None, None, None)


def _end(end: Callable[[], object], name: str) -> None:
    try:
        end()
    except Exception:
        logger.exception("The lifespan %s failed at its end", name)


class _AsyncSpan:
    """An async one. It is run by one asyncio task from beginning to end, as task groups and cancel scopes want it."""

    def __init__(self, function: Callable[[], AsyncIterator[Any]]) -> None:
        self._manager = contextlib.asynccontextmanager(function)()
        self._over: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        import asyncio

        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._task = asyncio.create_task(self._live(begun, self._over))
        await asyncio.wait({begun, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not begun.done():
            await self._task

    async def end(self) -> None:
        if self._over is not None and self._task is not None:
            self._over.set()
            await self._task

    async def _live(self, begun: asyncio.Future[None], over: asyncio.Event) -> None:
        async with self._manager:
            begun.set_result(None)
            await over.wait()
