"""A project in a folder of its own, whose commands are run as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0
"""Seconds after which a condition that does not come true fails the test."""

TASKS = """
import time

from umbel import Umbel

app = Umbel("tasks")


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def echo(*args, **kwargs):
    return {"args": args, "kwargs": kwargs}


@app.task(queue="mail")
def fail(why="no reason"):
    raise ValueError(why)


@app.task
def sleep(seconds):
    time.sleep(seconds)
    return "slept"
"""


class Project:
    """``folder`` is the current folder of every command; ``environ`` is added to its environment.

    ``strict``: warnings of its commands are errors.
    """

    def __init__(self, folder: Path, tasks: str = TASKS) -> None:
        self.folder = folder
        self.environ: dict[str, str] = {}
        self.strict = True
        self.write("pyproject.toml", "")
        self.write("tasks.py", tasks)

    def write(self, name: str, text: str) -> Path:
        """Put a file into the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def command(self, *arguments: str) -> list[str]:
        """The program and its arguments."""
        return [sys.executable, "-W", "error" if self.strict else "ignore", "-m", "umbel", *arguments]

    def environment(self) -> dict[str, str]:
        """The environment of its commands: nothing of the tester's own settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("UMBEL_", "DJANGO_"))}
        return {**inherited, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **self.environ}

    def run(self, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end; ``answer`` is its standard input."""
        return self.run_as(self.command(*arguments), answer=answer)

    def run_as(self, line: Sequence[str], *, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command line to its end in the project's folder and environment."""
        return subprocess.run(
            line,
            cwd=self.folder,
            env=self.environment(),
            input=answer,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def waiting(self) -> dict[str, int]:
        """How many messages nobody has claimed, in each queue that has some."""
        sizes = [json.loads(line) for line in self.run("list", "queues", "--json").stdout.splitlines()]
        counts = {size["queue"]: size["ready"] + size["delayed"] for size in sizes}
        return {queue: count for queue, count in counts.items() if count}

    @contextlib.contextmanager
    def start(self, *arguments: str, answering: bool = False) -> Iterator[Running]:
        """Start a command in a process group of its own; it is killed at the block's end if it has not ended.

        ``answering``: its standard input stays open, as before somebody who may type.
        """
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.PIPE if answering else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        running = Running(process)
        try:
            yield running
        finally:
            running.close()

    @contextlib.contextmanager
    def worker(self, *arguments: str) -> Iterator[Running]:
        """Start ``umbel worker``, and wait until it is ready."""
        with self.start("worker", *arguments) as running:
            running.wait_for(" ready.")
            yield running


class Running:
    """A command that runs; what it writes is read by threads, so that it never blocks."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._output: list[str] = []
        self._errors: list[str] = []
        self._readers = [
            _reader(process.stdout, self._output),
            _reader(process.stderr, self._errors),
        ]

    @property
    def output(self) -> str:
        """What it has written to standard output."""
        return "".join(self._output)

    @property
    def errors(self) -> str:
        """What it has written to standard error."""
        return "".join(self._errors)

    def wait_for(self, text: str) -> None:
        """Wait until it has written ``text`` to standard error."""
        wait_until(lambda: text in self.errors or self.process.poll() is not None)
        assert text in self.errors, f"ended with {self.process.returncode}: {self.output}{self.errors}"

    def interrupt(self) -> None:
        """What ctrl-C in a terminal does: SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self) -> int:
        """Its exit status, when it and its output have ended."""
        status = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.end()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when the condition is true; fail when it has not come true for long enough."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s"
        time.sleep(0.02)


def _reader(stream: IO[str] | None, into: list[str]) -> threading.Thread:
    assert stream is not None
    thread = threading.Thread(target=lambda: into.extend(iter(lambda: stream.read(1), "")), daemon=True)
    thread.start()
    return thread
