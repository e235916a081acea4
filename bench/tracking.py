"""Asks what counting an item costs in a loop: umbel's ``track`` beside tqdm, both above a loop that counts nothing."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable
from functools import partial

from bench.harness import Answer, Bar, Bench, Figures, column
from umbel import current, track
from umbel.app import Umbel
from umbel.model import Message
from umbel.progress.flusher import Flusher
from umbel.request import Request

ITEMS = 300_000

Loop = Callable[[Iterable[int]], Iterable[int]]


def ask(bench: Bench) -> list[Answer]:
    """CPU time an item, above that of the bare loop, with the threads that show how far it is."""
    loops: dict[str, Loop] = {"bare": iter, "umbel": tracked, "tqdm": beside}
    many = Bench(bench.much(15, 2), bench.quick, bench.tell)
    spent = column(many.in_turns("track", {name: partial(measure, loop) for name, loop in loops.items()}), "cpu")
    above = {
        name: [own - bare for own, bare in zip(spent[name], spent["bare"], strict=True)] for name in ("umbel", "tqdm")
    }
    return [Answer(question="track an item", unit="ns CPU", values=above, bars=[Bar("≤", 1, "tqdm")])]


def beside(items: Iterable[int]) -> Iterable[int]:
    """What tqdm makes of them."""
    from tqdm import tqdm

    bar: Iterable[int] = tqdm(items, file=io.StringIO())
    return bar


def tracked(items: Iterable[int]) -> Iterable[int]:
    """As in a task that runs in a worker, whose progress is looked at and leads nowhere."""
    app = Umbel("bench-tracking", broker="memory://bench-tracking", set_as_current=False)
    flusher = Flusher(app, "bench", lambda notes, records: None)
    request = Request(Message(task="bench", id="bench"))
    before, current.flusher = current.flusher, flusher
    token = current.request.set(request)
    flusher.start()
    flusher.running[1] = request
    flusher.awake.set()
    try:
        yield from track(items)
    finally:
        flusher.running.clear()
        flusher.close()
        current.flusher = before
        current.request.reset(token)


def measure(loop: Loop) -> Figures:
    """Nanoseconds an item."""
    began = time.process_time()
    for _ in loop(range(ITEMS)):
        pass
    return {"cpu": (time.process_time() - began) / ITEMS * 1e9}
