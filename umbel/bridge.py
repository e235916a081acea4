"""The way from plain calls and other loops to coroutines: one background loop a process, started on first use."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import functools
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from umbel.errors import StoreError, TimeoutError, UmbelError

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

CALLERS = 16
"""Calls of coroutines that may block in threads at once; more wait for their turn."""

ATTENTION = 0.5
"""Seconds after which the main thread looks up from its wait: a signal that came just before it began is lost to it."""

GOODBYE = 2.0
"""Seconds that leaving an adapter may take at the interpreter's end."""


class Way(Protocol):
    """Where adapters live, and how work on them is waited for."""

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Do ``work`` where the adapters are and wait for it, at most ``timeout`` seconds.

        Raises ``umbel.TimeoutError`` when the time is over (the work is cancelled), and whatever the work raises.
        """
        ...

    async def cross(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """As ``run``, from a coroutine, whose loop goes on; cancelling it cancels the work."""
        ...

    async def entered(self, adapter: AbstractAsyncContextManager[T]) -> T:
        """Enter ``adapter``, once; later calls give what the first one gave. For use inside ``work``."""
        ...

    def passable(self, adapter: AbstractAsyncContextManager[Any]) -> asyncio.AbstractEventLoop | None:
        """The loop on which ``adapter`` is entered, past which plain calls may go; None where they may not."""
        ...

    async def left(self, adapter: AbstractAsyncContextManager[Any]) -> None:
        """Leave ``adapter`` if it was entered here; it can be entered again. For use inside ``work``."""
        ...


class Bridge:
    """A loop in a daemon thread. A fork leaves it behind: the child makes its own on first use.

    Making one raises ``StoreError`` where the system has no more descriptors for a loop.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop: asyncio.AbstractEventLoop
        self._entered: dict[int, tuple[AbstractAsyncContextManager[Any], asyncio.Future[Any]]] = {}
        """Adapters that were entered on this loop; touched by the loop's thread alone."""
        self._ended = threading.Event()
        begun: Future[asyncio.AbstractEventLoop] = Future()
        _start_thread(functools.partial(self._live, begun), "umbel-bridge")
        try:
            self.loop = begun.result()
        except OSError as error:
            raise StoreError(f"umbel's background loop cannot be started: {error}") from error

    def _live(self, begun: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            self.loop = asyncio.new_event_loop()
        except BaseException as error:  # noqa: BLE001  whoever waits for the loop gets it
            begun.set_exception(error)
            return
        begun.set_result(self.loop)
        try:
            self.loop.run_forever()
            if not asyncio.all_tasks(self.loop):  # else somebody waits still, in a thread that ends with the process
                self.loop.close()
        finally:
            self._ended.set()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """As ``Way.run``; raises ``UmbelError`` in the loop's own thread, which would wait for itself."""
        if asyncio._get_running_loop() is self.loop:
            work.close()
            raise UmbelError("a plain call from umbel's own background loop would wait for itself: await it instead")
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return _patiently(future, timeout)
        except FutureTimeout:
            if future.done():
                raise
            future.cancel()
            raise TimeoutError(f"no answer within {timeout} s") from None
        except BaseException:
            future.cancel()
            raise

    async def cross(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        future = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))
        try:
            await asyncio.wait([future], timeout=timeout)
        except BaseException:
            future.cancel()
            raise
        if not future.done():
            future.cancel()
            raise TimeoutError(f"no answer within {timeout} s")
        return future.result()

    async def entered(self, adapter: AbstractAsyncContextManager[T]) -> T:
        if id(adapter) not in self._entered:
            opening = asyncio.ensure_future(adapter.__aenter__())
            self._entered[id(adapter)] = (adapter, opening)
            # whoever waited may have gone; what was opened then serves the next one
            opening.add_done_callback(functools.partial(self._opened, adapter))
        return cast("T", await asyncio.shield(self._entered[id(adapter)][1]))

    def inside(self, adapter: AbstractAsyncContextManager[Any]) -> bool:
        """Whether ``entered`` would return at once. For the loop's thread."""
        known = self._entered.get(id(adapter))
        return known is not None and known[1].done()

    def passable(self, adapter: AbstractAsyncContextManager[Any]) -> asyncio.AbstractEventLoop | None:
        return self.loop if self.inside(adapter) and not _greenlets() else None

    def _opened(self, adapter: AbstractAsyncContextManager[Any], opening: asyncio.Future[Any]) -> None:
        failed = opening.cancelled() or opening.exception() is not None
        if failed and self._entered.get(id(adapter)) == (adapter, opening):
            del self._entered[id(adapter)]

    async def left(self, adapter: AbstractAsyncContextManager[Any]) -> None:
        known = self._entered.pop(id(adapter), None)
        if known is None:
            return
        await asyncio.wait([known[1]])
        if not known[1].cancelled() and known[1].exception() is None:
            await adapter.__aexit__(None, None, None)

    def close(self) -> None:
        """Leave every adapter, then stop the loop. Used at the interpreter's end."""
        global _over
        if self.pid != os.getpid():
            return
        _over = True
        if self._ended.is_set():
            return
        for adapter in [adapter for adapter, _ in reversed(self._entered.values())]:
            with contextlib.suppress(UmbelError):
                self.run(self.left(adapter), timeout=GOODBYE)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._ended.wait(timeout=GOODBYE)


class Passing:
    """For calls after the interpreter has begun to end: each has a loop of its own, and leaves its adapters at once."""

    def __init__(self) -> None:
        self._entered: list[AbstractAsyncContextManager[Any]] = []

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        if asyncio._get_running_loop() is not None:
            return _submit(lambda: asyncio.run(self.cross(work, timeout))).result()
        return asyncio.run(self.cross(work, timeout))

    async def cross(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                return await work
        except FutureTimeout:
            if limit.expired():
                raise TimeoutError(f"no answer within {timeout} s") from None
            raise
        finally:
            for adapter in reversed(self._entered.copy()):
                await self.left(adapter)

    async def entered(self, adapter: AbstractAsyncContextManager[T]) -> T:
        known = await adapter.__aenter__()
        self._entered.append(adapter)
        return known

    def passable(self, adapter: AbstractAsyncContextManager[Any]) -> asyncio.AbstractEventLoop | None:
        return None

    async def left(self, adapter: AbstractAsyncContextManager[Any]) -> None:
        if adapter in self._entered:
            self._entered.remove(adapter)
            await adapter.__aexit__(None, None, None)


_lock = threading.Lock()
_bridge: Bridge | None = None
"""This process's bridge; ``get`` alone sets it."""

_left_behind: list[Bridge] = []
"""Bridges of the processes that this one was forked from: their loops must neither be used nor closed."""

_over = False
"""Whether the interpreter has ended its bridge; ``Bridge.close`` alone sets it."""

_callers: ThreadPoolExecutor | None = None
"""The threads of ``aside``, which alone sets it."""


def get() -> Way:
    """This process's bridge."""
    global _bridge
    with _lock:
        if _bridge is not None and _bridge.pid != os.getpid():
            _left_behind.append(_bridge)
            _bridge = None
        if _over or (_bridge is None and not threading.main_thread().is_alive()):
            return Passing()
        if _bridge is None:
            _bridge = Bridge()
            atexit.register(_bridge.close)
        return _bridge


def standing() -> Way | None:
    """This process's bridge if it was needed yet."""
    known = _bridge
    return known if known is not None and known.pid == os.getpid() and not _over else None


async def aside(work: Callable[[], T]) -> T:
    """Do what may block in a thread of umbel's own, with the caller's context variables; the caller's loop goes on.

    Cancelling the wait does not stop the work.
    """
    return await asyncio.wrap_future(_submit(functools.partial(contextvars.copy_context().run, work)))


def _submit(work: Callable[[], T]) -> Future[T]:
    global _callers
    with _lock:
        try:
            if _callers is None:
                from concurrent.futures import ThreadPoolExecutor  # cannot be had once the interpreter ends

                _callers = ThreadPoolExecutor(CALLERS, "umbel-caller")
            return _callers.submit(work)
        except RuntimeError:  # the interpreter ends, and its pools take nothing more
            future: Future[T] = Future()
            _start_thread(functools.partial(_fulfil, future, work), "umbel-caller")
            return future


def _patiently(future: Future[T], timeout: float | None) -> T:
    """As ``future.result(timeout)``, heeding a ctrl-C whenever it comes."""
    if threading.current_thread() is not threading.main_thread():
        return future.result(timeout)
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > ATTENTION:
        with contextlib.suppress(FutureTimeout):
            return future.result(ATTENTION)
        if future.done():
            break
    return future.result(left)


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    future.set_running_or_notify_cancel()
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  whoever waits gets it
        future.set_exception(error)


def _greenlets() -> bool:
    """Whether gevent has put greenlets in the place of threads."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("threading")


def _start_thread(work: Callable[[], object], name: str) -> None:
    """A daemon thread of the system's, also where gevent has put greenlets in the place of threads."""
    if _greenlets():
        monkey: Any = sys.modules["gevent.monkey"]
        monkey.get_original("_thread", "start_new_thread")(work, ())
    else:
        threading.Thread(target=work, name=name, daemon=True).start()


def _after_fork() -> None:
    global _lock, _callers
    _lock = threading.Lock()
    _callers = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
