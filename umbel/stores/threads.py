"""Does what blocks in a thread, for the coroutines of a store's adapters."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What ``work`` returns. At the interpreter's end, when there are no more threads to have, it is done here."""
    try:
        future = asyncio.get_running_loop().run_in_executor(None, functools.partial(work, *args, **kwargs))
    except RuntimeError:  # the loop's executor takes nothing more
        return work(*args, **kwargs)
    return await future
