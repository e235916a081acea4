"""Follows a page as a reader would: types its commands, saves its files, enters its sessions at a Python prompt."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.pages import Block
from tests.visitor import look_around

PATIENCE = 90.0
"""Seconds after which something that must end, or begin, has not."""

STAYS = re.compile(r"\bumbel\b.* (worker|dev)\b|\bmake demo\b")
"""A command that runs until it is interrupted."""

READY = re.compile(r" ready\.|^Open (?P<page>http://\S+) in a browser", re.MULTILINE)
NOT_TYPED = frozenset({"make test"})
"""Commands that the tests themselves are run by."""


class Reader:
    """Somebody with a shell in ``folder``, one Python prompt, and as many further terminals as there are workers.

    A worker is waited for until it is ready, and interrupted in the end; the block that contains ``kill -9`` is
    expected to end one before. The demo's page is visited, and the demo interrupted then. ``notes`` is a folder that
    the reader keeps for itself.
    """

    def __init__(self, folder: Path, notes: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        self._environ = dict(environ)
        self._notes = notes
        self._notes.mkdir()
        self._workers: list[subprocess.Popen[bytes]] = []
        self._prompt: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        statuses = self._leave()
        if error is None:
            assert set(statuses) <= {0}, f"workers ended with {statuses}:\n{self._logs()}"

    def follow(self, blocks: Iterable[Block]) -> None:
        """Do what each block is for, in order; fails at the first that does not go as the page says."""
        for block in blocks:
            if block.file is not None:
                (self.folder / block.file).write_text(block.text)
            elif block.language == "sh":
                self._type(block)
            elif block.language in ("python", "pycon"):
                self._enter(block)

    # -- the shell --------------------------------------------------------------------------------------------------

    def _type(self, block: Block) -> None:
        lines = [line for line in block.text.splitlines() if line.strip() and line.strip() not in NOT_TYPED]
        if lines and STAYS.search(lines[-1]):
            *before, last = lines
            self._start([*before, f"exec {last}"], block)
        elif lines:
            self._run(lines, block)

    def _run(self, lines: list[str], block: Block) -> None:
        after = self._notes / "folder"
        done = subprocess.run(
            ["sh", "-euc", "\n".join([*lines, f"pwd > '{after}'"])],
            cwd=self.folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{block.place}: status {done.returncode}\n{done.stdout}\n{self._logs()}"
        self.folder = Path(after.read_text().strip())
        if "kill -9" in block.text:
            self._bury()

    def _start(self, lines: list[str], block: Block) -> None:
        path = self._notes / f"worker-{time.monotonic_ns()}.log"
        with path.open("wb") as log:
            worker = subprocess.Popen(
                ["sh", "-euc", "\n".join(lines)],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not (ready := READY.search(path.read_text())):
            if worker.poll() is not None or time.monotonic() > deadline:
                _end(worker, 0.0)
                raise AssertionError(f"{block.place}: the worker is not ready, or has ended:\n{path.read_text()}")
            time.sleep(0.02)
        self._workers.append(worker)
        if ready["page"]:
            look_around(ready["page"])
            self._workers.remove(worker)
            os.killpg(worker.pid, signal.SIGINT)
            assert _end(worker) in (0, -signal.SIGINT), f"{block.place}:\n{path.read_text()}"  # make dies of it itself
            assert "Stopped" in path.read_text(), f"{block.place}:\n{path.read_text()}"

    def _bury(self) -> None:
        """Notice, as a shell does, that a worker was killed."""
        deadline = time.monotonic() + PATIENCE
        while all(worker.poll() is None for worker in self._workers):
            assert time.monotonic() < deadline, "nothing was killed"
            time.sleep(0.02)
        self._workers = [worker for worker in self._workers if worker.returncode != -signal.SIGKILL]

    # -- the prompt -------------------------------------------------------------------------------------------------

    def _enter(self, block: Block) -> None:
        prompt = self._prompt or self._open()
        assert prompt.stdin is not None
        assert prompt.stdout is not None
        guard = threading.Timer(PATIENCE, prompt.kill)
        guard.start()
        try:
            prompt.stdin.write(f"{json.dumps(block)}\n")
            prompt.stdin.flush()
            answer = prompt.stdout.readline()
        finally:
            guard.cancel()
        assert answer, f"{block.place}: no answer\n{self._logs()}"
        trouble = json.loads(answer)
        assert not trouble, f"{block.place}:\n{trouble}\n{self._logs()}"

    def _open(self) -> subprocess.Popen[str]:
        """The prompt of the folder's virtual environment if it has one."""
        own = self.folder / "venv" / "bin" / "python"
        with (self._notes / "prompt.log").open("w") as log:
            self._prompt = subprocess.Popen(
                [str(own) if own.exists() else sys.executable, str(Path(__file__).with_name("prompt.py"))],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self._prompt

    # -- the end ----------------------------------------------------------------------------------------------------

    def _leave(self) -> list[int]:
        """Close everything; gives how the workers ended."""
        if self._prompt is not None:
            assert self._prompt.stdin is not None
            assert self._prompt.stdout is not None
            self._prompt.stdin.close()
            self._prompt.wait(PATIENCE)
            self._prompt.stdout.close()
        for worker in self._workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGINT)
        return [_end(worker) for worker in self._workers]

    def _logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()}" for path in sorted(self._notes.glob("*.log")))


def _end(worker: subprocess.Popen[bytes], patience: float = PATIENCE) -> int:
    try:
        return worker.wait(patience)
    except subprocess.TimeoutExpired:
        os.killpg(worker.pid, signal.SIGKILL)
        return worker.wait()
