"""The way from plain calls to coroutines: one background loop a process, started on first use."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from umbel.errors import TimeoutError, UmbelError

T = TypeVar("T")


class Bridge:
    """A loop in a daemon thread. A fork leaves it behind: the child makes its own on first use."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._entered: dict[int, tuple[AbstractAsyncContextManager[Any], asyncio.Future[Any]]] = {}
        """Adapters that were entered on this loop; touched by the loop's thread alone."""
        self._thread = threading.Thread(target=self.loop.run_forever, name="umbel-bridge", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run ``work`` on the loop and wait for it, at most ``timeout`` seconds.

        Raises ``umbel.TimeoutError`` when the time is over (the work is cancelled), and whatever the work raises.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise UmbelError("a plain call from umbel's own background loop would wait for itself: await it instead")
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(timeout)
        except FutureTimeout:
            if future.done():
                raise
            future.cancel()
            raise TimeoutError(f"no answer within {timeout} s") from None
        except BaseException:
            future.cancel()
            raise

    async def entered(self, adapter: AbstractAsyncContextManager[T]) -> T:
        """Enter ``adapter`` on this loop, once; later calls give what the first one gave."""
        known = self._entered.get(id(adapter))
        if known is not None:
            return await asyncio.shield(known[1])
        opening: asyncio.Future[T] = asyncio.ensure_future(adapter.__aenter__())
        self._entered[id(adapter)] = (adapter, opening)
        try:
            return await asyncio.shield(opening)
        except BaseException:
            self._entered.pop(id(adapter), None)
            raise

    async def left(self, adapter: AbstractAsyncContextManager[Any]) -> None:
        """Leave ``adapter`` if it was entered here."""
        known = self._entered.pop(id(adapter), None)
        if known is not None:
            await adapter.__aexit__(None, None, None)

    def close(self) -> None:
        """Leave every adapter, then stop the loop. Used at the interpreter's end."""
        if self.pid != os.getpid() or not self._thread.is_alive():
            return
        with_adapters = [adapter for adapter, _ in self._entered.values()]
        for adapter in with_adapters:
            # thread pools are shut by now, and with them what an adapter does in one; sockets still say goodbye
            with contextlib.suppress(RuntimeError, UmbelError):
                self.run(self.left(adapter), timeout=2)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=2)


_lock = threading.Lock()
_bridge: Bridge | None = None
"""This process's bridge; ``get`` alone sets it."""


def get() -> Bridge:
    """This process's bridge."""
    global _bridge
    with _lock:
        if _bridge is None or _bridge.pid != os.getpid():
            _bridge = Bridge()
            atexit.register(_bridge.close)
        return _bridge


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
