"""Tells systemd how the worker stands, where systemd has started it and asked for that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

READY = "READY=1"
STOPPING = "STOPPING=1"
_ALIVE = "WATCHDOG=1"

_MOMENT = 0.05
"""Seconds after which somebody is told again who had no room for what he was told."""


def notify(state: str) -> None:
    """Send this to the socket that NOTIFY_SOCKET names, if it names one. Somebody who does not listen is no error.

    What does not fit, because much was told that was not read yet, is sent again while the running loop lives; a sign
    of life is not, for the next one comes.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    place = f"\0{address[1:]}" if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        way.setblocking(False)  # the loop does not wait for systemd
        try:
            way.sendto(state.encode(), place)
        except BlockingIOError:
            if state != _ALIVE:
                asyncio.get_running_loop().call_later(_MOMENT, notify, state)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Say in time, while in the block, that the running loop is alive, if WATCHDOG_USEC asks this process for it."""
    interval = _interval()
    if interval is None:
        yield
        return
    saying = asyncio.get_running_loop().create_task(_say_every(interval / 2))
    try:
        yield
    finally:
        saying.cancel()


async def _say_every(seconds: float) -> None:
    while True:
        notify(_ALIVE)
        await asyncio.sleep(seconds)


def _interval() -> float | None:
    """Seconds without a sign of life after which systemd ends the worker; None where it does not."""
    text, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not text.isdigit() or int(text) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(text) / 1e6
