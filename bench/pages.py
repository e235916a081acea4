"""Asks what it costs to show a thousand pages how far tasks are, and how late a page is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import statistics
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.harness import Answer, Bar, Bench, Figures, column
from bench.processes import Tree, plain_environment
from tools.ports import free_port
from umbel import Umbel
from umbel.progress.flusher import TICK
from umbel.tracking import Note
from umbel.web import progress_ticket
from umbel.wire.notes import write_note

BASE = "umbel.db"
FILE = "BENCH_FILE"
"""The environment variable that names the database to ``bench.site``."""

SECRET = "a text that nobody has to guess"

MOVING = 10
"""Tasks that move in each second."""

AT_ONCE = 50
"""Streams that are being opened at a time."""

FILES = 20_000
"""Files, sockets among them, that a process may need to have open."""

PAUSE = 0.9
"""Seconds between two words of a task: no multiple of the flusher's interval."""


def ask(bench: Bench) -> list[Answer]:
    """Two figures of a server with many streams, and two of how late a change is."""
    streams, seconds, words = bench.much(1000, 50), bench.much(20, 2), bench.much(30, 4)
    many = column_of(bench, f"{streams} streams", partial(with_many, streams, seconds))
    late = column_of(bench, "a change", partial(with_one, words))
    bound = "a flush interval and a round trip"
    return [
        Answer(question=f"{streams:,} streams", unit="CPU s/s", values=many("cpu"), bars=[Bar("≤", 0.3)]),
        Answer(question="memory of a stream", unit="KB PSS", values=many("memory"), bars=[Bar("≤", 80)]),
        Answer(question="from the store to a page, p50", unit="ms", values=many("p50")),
        Answer(question="from the store to a page, p95", unit="ms", values=many("p95")),
        Answer(
            question="from the task to a page, p95",
            unit="ms",
            values={**late("p95"), bound: late("bound")["umbel"]},
            bars=[Bar("≤", 1, bound)],
        ),
    ]


def column_of(bench: Bench, what: str, measure: Any) -> Any:
    """Measures, and gives a function from a quantity to its values."""
    runs = bench.in_turns(what, {"umbel": measure})
    return partial(column, runs)


def with_many(streams: int, seconds: int) -> Figures:
    """A stream for each of so many tasks, of which some move."""
    with serving() as (port, tree, folder):
        return asyncio.run(_with_many(port, tree, folder, streams, seconds))


def with_one(words: int) -> Figures:
    """One page, one task that says what time it is."""
    with serving() as (port, _, folder), Tree(_worker(), _environment(folder), folder / "worker.log") as worker:
        worker.wait_until(lambda: " ready." in worker.printed(), "the worker is ready")
        return asyncio.run(_with_one(port, folder, words))


@contextlib.contextmanager
def serving() -> Iterator[tuple[int, Tree, Path]]:
    """Port, processes and folder of the web server, on a new database."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES, most), most))
    with tempfile.TemporaryDirectory(prefix="umbel-bench-") as name:
        folder, port = Path(name), free_port()
        words = ["uvicorn", "bench.site:site", "--port", str(port), "--log-level", "warning"]
        with Tree([sys.executable, "-m", *words], _environment(folder), folder / "server.log") as tree:
            tree.wait_until(partial(_answers, port), "the server answers")
            yield port, tree, folder


def _environment(folder: Path) -> dict[str, str]:
    return {**plain_environment(), FILE: str(folder / BASE), "UMBEL_HOME": str(folder)}


def _worker() -> list[str]:
    return [sys.executable, "-m", "umbel", "-A", "bench.site", "worker", "-c", "1"]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/umbel/umbel-progress.js", timeout=5):
            return True
    except OSError:
        return False


# -- the reader's and the writer's side


async def _with_many(port: int, tree: Tree, folder: Path, streams: int, seconds: int) -> Figures:
    from umbel.brokers.sqlite import SqliteBroker

    ids = [str(uuid.uuid4()) for _ in range(streams)]
    async with SqliteBroker(f"sqlite:///{folder / BASE}", {}) as store:
        await store.write_progress([_note(id, 0) for id in ids])
        async with _reading(port, ids[:MOVING]) as warm:
            await warm.all_told(MOVING)
        await asyncio.sleep(1)
        before = tree.memory()
        async with _reading(port, ids) as pages:
            await pages.all_told(streams)
            await asyncio.sleep(2)  # what is only waiting to be freed is freed
            memory = (tree.memory() - before) * 1024 / streams
            pages.late.clear()
            spent, began = tree.cpu(), time.monotonic()
            for second in range(seconds):
                moving = [ids[(second * MOVING + at) % streams] for at in range(MOVING)]
                await store.write_progress([_note(id, second + 1) for id in moving])
                await asyncio.sleep(began + second + 1 - time.monotonic())
            cpu = (tree.cpu() - spent) / (time.monotonic() - began)
            await pages.all_told(streams + seconds * MOVING)
            return {"cpu": cpu, "memory": memory, **_quantiles(pages.late)}


async def _with_one(port: int, folder: Path, words: int) -> Figures:
    trips = []
    app = Umbel("bench-page", broker=f"sqlite:///{folder / BASE}", set_as_current=False)
    result = await asyncio.to_thread(app.send_task, "bench.speaks", (words, PAUSE))
    for _ in range(20):
        began = time.monotonic()
        await asyncio.to_thread(_fetch, port, result.id)
        trips.append(time.monotonic() - began)
    async with _reading(port, [result.id]) as pages:
        await result.aget(timeout=words * PAUSE + 60)
        late = pages.late[1:]  # the page may have been opened after the first word
    await app.aclose()
    return {**_quantiles(late), "bound": (TICK + statistics.median(trips)) * 1000}


class _Pages:
    """What so many open pages have been told; ``late`` is how many seconds after the word that they show."""

    def __init__(self) -> None:
        self.told = 0
        self.late: list[float] = []
        self._moved = asyncio.Event()

    async def read(self, reader: asyncio.StreamReader) -> None:
        """One of them, until its stream ends."""
        last = None
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                event = await reader.readuntil(b"\n\n")
                here = time.monotonic()
                _, found, data = event.partition(b"event: snapshot\ndata: ")
                if found:
                    said = json.loads(data).get("message")
                    self.told += 1
                    if said is not None and said != last:  # the end shows the last word once more
                        self.late.append(here - float(said))
                        last = said
                    self._moved.set()

    async def all_told(self, count: int) -> None:
        """Return when they have been told so much in all."""
        async with asyncio.timeout(60):
            while self.told < count:
                self._moved.clear()
                await self._moved.wait()


@contextlib.asynccontextmanager
async def _reading(port: int, ids: Sequence[str]) -> AsyncIterator[_Pages]:
    """A page for each of these, open in the block."""
    pages = _Pages()
    door = asyncio.Semaphore(AT_ONCE)
    writers: list[asyncio.StreamWriter] = []

    async def page(id: str) -> None:
        async with door:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            address = f"/umbel/stream?t={progress_ticket(id, secret=SECRET)}~0"
            writer.write(
                f"GET {address} HTTP/1.1\r\nHost: localhost:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head, head
        await pages.read(reader)

    tasks_of_pages = [asyncio.create_task(page(id)) for id in ids]
    try:
        yield pages
    finally:
        for each in tasks_of_pages:
            each.cancel()
        failed = await asyncio.gather(*tasks_of_pages, return_exceptions=True)
        for writer in writers:
            writer.close()
        for error in failed:
            if isinstance(error, Exception):
                raise error


def _note(id: str, seq: int) -> Note:
    facts = {"state": "PROGRESS", "attempt": 1, "current": seq, "total": 1000, "message": f"{time.monotonic():.6f}"}
    return Note(id, seq + 1, write_note(facts), time.time() + 3600)


def _fetch(port: int, id: str) -> None:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/umbel/tasks/{progress_ticket(id, secret=SECRET)}", timeout=60
    ) as answer:
        answer.read()


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """The median and the 95th percentile, in milliseconds."""
    ordered = sorted(each * 1000 for each in seconds)
    return {"p50": statistics.median(ordered), "p95": ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]}
