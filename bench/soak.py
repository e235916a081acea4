"""Has a real worker do a million tasks, and looks whether anything grows that must not.

    python -m bench.soak                     a million tasks: several minutes
    python -m bench.soak --tasks 20000       fewer; what is looked at is the same

The exit status is 0 when everything held: the memory of the worker flat over the second half, no message left, no
more results kept than their time allows, the same number of nodes, marks, files and descriptors, a bounded log.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.processes import Tree, plain_environment
from umbel import Umbel

ROOT = Path(__file__).resolve().parent.parent
BATCH = 500
BACKLOG = 5000
"""Messages that may wait: the sender is held up before there are more."""

SAMPLES = 100
EXPIRES = 3
"""Seconds for which results are kept."""

STEADY = 20.0
"""Seconds that the second half must last for the number of results to be judged: they are deleted every few seconds."""

PATIENCE = 300.0
LARGEST_LOG = 192.0
"""Megabytes: the node moves the log at 64, whoever writes at 128, and both go on writing meanwhile."""


CHECKPOINTING = {"files": 1, "descriptors": 3}
"""What a node takes for good when the log has first to be moved into the file: a lock and a connection."""


class Sample(NamedTuple):
    """What there is at one moment; ``memory`` and ``log`` are in megabytes, ``log`` that of the database."""

    seconds: float
    done: int
    memory: float
    log: float
    results: int
    nodes: int
    marks: int
    files: int
    descriptors: int
    checkpointing: bool
    """Whether the log has ever been moved."""


class Soak:
    """One worker and one file."""

    def __init__(self, home: Path, tree: Tree, app: Umbel) -> None:
        self._began = time.monotonic()
        self._path = home / "umbel.db"
        self._tree = tree
        self._app = app
        self._sent = 0
        self.samples: list[Sample] = []
        self._database = sqlite3.connect(self._path, timeout=60)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def count(self, table: str) -> int:
        """Rows of a table."""
        return int(self._database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def sample(self) -> Sample:
        """Take a look, and keep it."""
        files = os.listdir(f"{self._path}-nodes")
        taken = Sample(
            seconds=time.monotonic() - self._began,
            done=self._sent - self.count("messages"),
            memory=self._tree.own_memory(),
            log=_megabytes(Path(f"{self._path}-wal")),
            results=self.count("results"),
            nodes=self.count("nodes"),
            marks=self.count("marks"),
            files=len(files),
            descriptors=len(os.listdir(f"/proc/{self._tree.pids()[0]}/fd")),
            checkpointing="checkpoint" in files,
        )
        self.samples.append(taken)
        return taken

    def run(self, tasks: int) -> None:
        """Send so many, never many at once, and return when all are done."""
        idle = self._app.tasks["bench.idler.idle"]
        step, said = max(1, tasks // SAMPLES), 0.0
        while self._sent < tasks:
            count = min(BATCH, tasks - self._sent)
            idle.delay_many([()] * count)
            self._sent += count
            self._tree.wait_until(lambda: self.count("messages") < BACKLOG, "progress", PATIENCE)
            if self._sent // step > len(self.samples):
                taken = self.sample()
                if taken.seconds - said > 2:
                    said = taken.seconds
                    tell(taken, tasks)
        self._tree.wait_until(lambda: not self.count("messages"), "an empty queue", PATIENCE)
        tell(self.sample(), tasks)

    def settle(self) -> int:
        """How many results are left once their time is over; a task now and then keeps the worker at it."""
        idle = self._app.tasks["bench.idler.idle"]

        def none_left() -> bool:
            idle.apply_async(ignore_result=True)
            time.sleep(0.05)
            return not self.count("results")

        with contextlib.suppress(TimeoutError):
            self._tree.wait_until(none_left, "the expiry of all results", PATIENCE)
        return self.count("results")


def tell(taken: Sample, tasks: int) -> None:
    """One line of progress."""
    rate = taken.done / taken.seconds
    print(
        f"{taken.done:>9,} of {tasks:,}  {rate:>6,.0f}/s  worker {taken.memory:6.1f} MB  log {taken.log:6.1f} MB  "
        f"results {taken.results:>8,}  nodes {taken.nodes}",
        flush=True,
    )


def complaints(samples: Sequence[Sample], left: int, growth_allowed: float) -> Iterator[str]:
    """What has grown. ``left`` are the results that outlived their time, ``growth_allowed`` megabytes."""
    half = [taken for taken in samples if taken.done >= samples[-1].done / 2]
    middle = len(half) // 2
    growth = statistics.median(each.memory for each in half[middle:])
    growth -= statistics.median(each.memory for each in half[:middle])
    print(f"memory of the worker over the second half: {growth:+.2f} MB")
    if growth > growth_allowed:
        yield f"the worker's memory grew by {growth:.2f} MB over the second half, {growth_allowed:g} are allowed"
    if half[-1].seconds - half[0].seconds > STEADY:
        earlier = [taken for taken in samples if taken.done < half[0].done]
        most = max(each.results for each in earlier[len(earlier) // 2 :])
        fewest = min(each.results for each in half[middle:])
        print(f"results that are kept: at most {most:,} in the second quarter, at least {fewest:,} in the last")
        if fewest > most:
            yield f"results that are kept grew from {most:,} to {fewest:,} from the second quarter to the last"
    if left:
        yield f"{left} results are kept beyond their time"
    largest = max(taken.log for taken in samples)
    if largest > LARGEST_LOG:
        yield f"the database's log grew to {largest:.0f} MB, at most {LARGEST_LOG:.0f} are right"
    for what in ("nodes", "marks", "files", "descriptors"):
        first, last = getattr(half[0], what), getattr(half[-1], what)
        once = CHECKPOINTING.get(what, 0) if half[-1].checkpointing and not half[0].checkpointing else 0
        if last > first + once:
            yield f"{what}: {first} in the middle, {last} at the end"


@contextlib.contextmanager
def soaking() -> Iterator[Soak]:
    """A worker with two runners on a file of its own, ready."""
    with tempfile.TemporaryDirectory(prefix="umbel-soak-") as folder:
        home = Path(folder)
        url = f"sqlite:///{home}/umbel.db"
        environment = {
            **plain_environment(),
            "PYTHONPATH": str(ROOT),
            "UMBEL_BROKER_URL": url,
            "UMBEL_RESULT_EXPIRES": str(EXPIRES),
        }
        command = [sys.executable, "-m", "umbel", "worker", "-A", "bench.idler", "-c", "2"]
        app = Umbel("soak", broker=url, set_as_current=False)
        app.task(name="bench.idler.idle")(lambda: None)
        with Tree([*command, "--loglevel", "WARNING", "--quiet"], environment, home / "log") as tree:
            app.tasks["bench.idler.idle"].delay()
            tree.wait_until(lambda: _done_one(home / "umbel.db"), "a first task done")
            soak = Soak(home, tree, app)
            try:
                yield soak
            finally:
                soak.close()


def _done_one(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        return not connection.execute("SELECT 1 FROM messages").fetchone()


def _megabytes(path: Path) -> float:
    try:
        return path.stat().st_size / (1 << 20)
    except FileNotFoundError:
        return 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Soak a worker, and see what grows.")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="how many (1,000,000)")
    parser.add_argument("--growth", type=float, default=1.0, help="megabytes by which the worker may grow (1)")
    chosen = parser.parse_args(arguments)
    with soaking() as soak:
        soak.run(chosen.tasks)
        found = list(complaints(soak.samples, soak.settle(), chosen.growth))
    for complaint in found:
        print(f"NOT HELD: {complaint}")
    print("everything held" if not found else f"{len(found)} promise(s) broken")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
