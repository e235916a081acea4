"""Event loops that live as long as their runner: one that is run in place, one in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from umbel.pools.interruptible import Interruptible

logger = logging.getLogger("umbel.worker")


class LoopHere:
    """A loop that runs in the calling thread, while there is something to run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._running: Interruptible | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Its value, or what it raises."""
        self._running = running = Interruptible(coroutine)
        try:
            return self._loop.run_until_complete(_awaited(running))
        finally:
            self._running = None

    def interrupt(self, error: BaseException) -> bool:
        """From a signal handler of this thread: raise ``error`` where the coroutine waits.

        False when it does not wait, but runs or blocks: the handler can raise there itself.
        """
        running = self._running
        if running is None or running.stepping:
            return False
        self._loop.call_soon_threadsafe(running.interrupt, error)
        return True

    def close(self) -> None:
        """End what tasks have left behind, and the loop."""
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(_tidied())


class LoopThread:
    """A loop in a thread of its own, started at its first use. Every method may be called from any other thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._ending = False
        self._tasks: set[asyncio.Task[Any]] = set()
        """What ``run`` has begun; the loop's thread owns it, for the loop itself would let them be collected."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._serve, args=(self._loop,), name="umbel-loop", daemon=True)
                self._thread.start()
            return self._loop

    def soon(self, call: Callable[..., object], *args: Any) -> None:
        """Have the loop's thread call it."""
        self.loop.call_soon_threadsafe(call, *args)

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for it in the calling thread, whose context variables it sees; its value, or what it raises."""
        ended: Future[Any] = Future()
        context = contextvars.copy_context()

        async def carried() -> None:
            try:
                value = await awaitable
            except BaseException as error:  # noqa: BLE001  the thread that waits raises it
                ended.set_exception(error)
            else:
                ended.set_result(value)

        def begin() -> None:
            task = self.loop.create_task(carried(), context=context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self.soon(begin)
        return ended.result()

    def close(self) -> None:
        """End what tasks have left behind, and the loop."""
        if self._loop is None or self._thread is None:
            return
        self._ending = True
        self.run(_tidied())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        with contextlib.closing(loop):
            while True:
                try:
                    loop.run_forever()
                except (SystemExit, KeyboardInterrupt):
                    logger.exception("Something that a task has begun on the loop wanted the process to end")
                    continue
                if self._ending:
                    return


class LoopFlag:
    """Something to wait for on the running loop, told by another thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future = self._loop.create_future()

    def set(self) -> None:
        """It has happened."""
        self._loop.call_soon_threadsafe(self._future.set_result, None)

    async def wait(self) -> None:
        """Return when it has happened."""
        await self._future


async def _awaited(running: Interruptible) -> Any:
    return await running


async def _tidied() -> None:
    """End the loop's other tasks, its generators and its threads."""
    loop = asyncio.get_running_loop()
    others = [task for task in asyncio.all_tasks(loop) if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()
