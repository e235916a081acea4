"""The queues that are measured, as the questions handle them."""

from __future__ import annotations

import contextlib
import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.peers import APART
from bench.processes import Stuck, Tree, plain_environment
from tools.environment import Environments

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Contestant:
    """A queue in a folder of its own: its programs run as children, so that no measurement inherits from another."""

    module: str
    """``bench.peers.NAME``, and after a colon what makes this variant of it."""
    home: Path
    results: bool
    pause: float
    url: str
    """Of the server, or empty."""
    spin: float

    @classmethod
    @contextlib.contextmanager
    def at_home(
        cls, module: str, *, results: bool = True, pause: float = 0.005, url: str = "", spin: float = 0.0
    ) -> Iterator[Self]:
        """A fresh one; everything that it leaves is removed in the end.

        ``results``: whether they are kept. ``pause``: seconds between two looks, for those that look at intervals.
        ``spin``: seconds of CPU time that each call takes.
        """
        with tempfile.TemporaryDirectory(prefix="umbel-bench-") as home:
            contestant = cls(module, Path(home), results, pause, url, spin)
            yield contestant
            if url:
                contestant.ask("clear")

    def ask(self, verb: str, *counts: int) -> Any:
        """What ``bench.client`` answers; raises ``Stuck`` with what it printed when it fails."""
        with self.asking(verb, *counts) as child:
            return answer(child)

    @contextlib.contextmanager
    def asking(self, verb: str, *counts: int) -> Iterator[subprocess.Popen[str]]:
        """The client at work; its answer is had by ``answer``."""
        module = self.module.partition(":")[0]
        command = [python_of(module), "-m", "bench.client", module, verb, *map(str, counts)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=self._environment(), stdout=pipe, stderr=pipe, text=True) as child:
            try:
                yield child
            finally:
                child.kill()

    def worker(self, kind: str = "worker") -> Tree:
        """A worker, started; ``kind`` is the client's word for its command line."""
        return Tree(self.ask(kind), self._environment(), self.home / "worker.log")

    def await_stamp(self, tree: Tree) -> float:
        """When the task that stamps was run, on the monotonic clock; the next one stamps anew."""
        path = self.home / "stamp"
        tree.wait_until(path.exists, "the first task")
        moment = float(path.read_text())
        path.unlink()
        return moment

    @contextlib.contextmanager
    def working(self) -> Iterator[Tree]:
        """A worker that has run a first task and has nothing to do."""
        self.ask("fill", 20, 0)
        with self.worker() as tree:
            self.await_stamp(tree)
            yield tree

    def _environment(self) -> dict[str, str]:
        ours = {
            "BENCH_HOME": str(self.home),
            "BENCH_RESULTS": "1" if self.results else "0",
            "BENCH_PAUSE": str(self.pause),
            "BENCH_TUNING": self.module.partition(":")[2],
            "BENCH_URL": self.url,
            "BENCH_QUEUE": self.home.name,
            "BENCH_SPIN": str(self.spin),
        }
        return {**plain_environment(), **ours, "UMBEL_HOME": str(self.home), "PYTHONPATH": str(ROOT)}


@functools.cache
def python_of(module: str) -> str:
    """The interpreter of a peer's programs: this one, or that of its own environment, made where it is missing."""
    return str(Environments().python(APART[module])) if module in APART else sys.executable


def answer(child: subprocess.Popen[str]) -> Any:
    """What a client prints; waits for its end."""
    printed, complaints = child.communicate(timeout=300)
    if child.returncode != 0:
        raise Stuck(f"{child.args!r} ended with status {child.returncode}:\n{complaints}")
    return json.loads(printed)
