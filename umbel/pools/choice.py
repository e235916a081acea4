"""The pool for each name."""

from __future__ import annotations

from umbel.pools.pool import HandOver, Pool, Starts


def make_pool(name: str, slots: int, starts: Starts, hand_over: HandOver) -> Pool:
    """The pool ``threads``, ``async``, or for any other name the main thread alone; each loads only what it needs."""
    if name == "threads":
        from umbel.pools.threads import Threads

        return Threads(starts, hand_over, slots)
    if name == "async":
        from umbel.pools.coroutines import Coroutines

        return Coroutines(starts, hand_over, slots)
    from umbel.pools.main_thread import MainThread

    return MainThread(starts, hand_over)
