"""Tells people on a terminal how a task stands: as a bar that moves, or as lines."""

from __future__ import annotations

import shutil
import sys
from typing import Any

from umbel.progress.snapshot import Snapshot


def has_progress(snap: Snapshot) -> bool:
    """Whether there is more to tell than a state."""
    told = (snap.percent, snap.current, snap.stage, snap.message, snap.usual, snap.children)
    return not snap.final and any(each is not None for each in told)


def percent_of(snap: Snapshot) -> float | None:
    """How much of a bar to fill: what is done, or else the part of the usual time that has gone, up to 95."""
    if snap.percent is not None or snap.usual is None or not snap.elapsed:
        return snap.percent
    return round(min(95.0, 100.0 * snap.elapsed / snap.usual), 1)


def words_of(snap: Snapshot) -> str:
    """What stands behind the bar."""
    parts = []
    if snap.state == "RETRY":
        parts.append(f"attempt {snap.attempt}{f' of {snap.attempts}' if snap.attempts else ''} follows")
    if snap.cancelling:
        parts.append("stopping")
    if snap.percent is not None:
        parts.append(f"{snap.percent:.0f} %")
    if snap.current is not None:
        of = "" if snap.total is None else f"/{snap.total:,}"
        parts.append(f"{snap.current:,}{of}{f' {snap.unit}' if snap.unit else ''}")
    if snap.children is not None:
        n, done, failed, running = snap.children
        parts.append(f"{done} of {n} done, {running} running" + (f", {failed} failed" if failed else ""))
    if snap.eta is not None:
        parts.append(f"about {seconds_of(snap.eta)} left")
    elif snap.percent is None and snap.usual is not None:
        parts.append(f"usually takes about {seconds_of(snap.usual)}")
    if snap.stage is not None:
        whole = f" of {snap.stage.n}" if snap.stage.n else ""
        parts.append(f"{snap.stage.label} ({snap.stage.i}{whole})")
    if snap.message is not None:
        parts.append(snap.message)
    return " · ".join(" ".join(part.split()) for part in parts)


def seconds_of(seconds: float) -> str:
    """Seconds, then minutes and hours: 7 s, 2 min, 1 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Teller:
    """Shows snapshots on standard error. On a terminal a bar, with rich, or else one line that is written over;
    elsewhere a line for each tenth, stage and message."""

    def __init__(self) -> None:
        self._live = sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = None
        self._shown = ""
        self._step: Any = None

    def show(self, snap: Snapshot) -> None:
        """This is how it stands now."""
        percent, words = percent_of(snap), words_of(snap)
        if not self._live:
            step = (snap.state, snap.stage, snap.message, None if snap.percent is None else snap.percent // 10)
            if step != self._step and sys.stderr is not None:
                self._step = step
                self._write(f"{snap.state} {words}".rstrip() + "\n")
            return
        if self._bar is None and not self._shown:
            from umbel import drawn

            self._bar = drawn.Bar() if drawn.available() else None
        if self._bar is not None:
            self._bar.show(percent, words)
            return
        width = shutil.get_terminal_size().columns - 1
        told = words if len(words) <= width else f"{words[: width - 1]}…"
        if told != self._shown:
            self._write(f"\r{told}\x1b[K")
            self._shown = told

    def close(self) -> None:
        """Take away what is shown on a terminal."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = ""

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def follow(result: Any, timeout: float | None) -> None:
    """Show how ``result`` stands until it has ended; raises ``TimeoutError`` after so many seconds."""
    import asyncio

    teller = Teller()

    async def watch() -> None:
        async with asyncio.timeout(timeout):
            async for snap in result.watch():
                if not snap.final:
                    teller.show(snap)

    try:
        asyncio.run(watch())
    finally:
        teller.close()
