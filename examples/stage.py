"""Gives a demo a folder and a worker of its own, and takes both away again, however the demo ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def stage(app: str) -> Iterator[Path]:
    """A new folder that is the home of umbel's files, and a running worker of ``app``, inside the block.

    Raises ``Interrupted`` in the block at ctrl-C, SIGTERM and SIGHUP, and ``SystemExit`` with the end of the log
    when the worker ends by itself. In every case the worker and the folder are gone afterwards: an interrupt that
    comes while they are made or removed has to wait.
    """
    with Gate() as gate:
        folder = Path(tempfile.mkdtemp(prefix="umbel-demo-"))
        log = folder / "worker.log"
        try:
            os.environ["UMBEL_HOME"] = str(folder)
            with log.open("wb") as output:
                command = [sys.executable, "-m", "umbel", "--app", app, "worker", "--grace", "1"]
                # In a session of its own, a ctrl-C of the terminal does not reach it: it is told to end below.
                gate.worker = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            try:
                with gate.opened():
                    yield folder
            finally:
                end(gate.worker)
        except WorkerEnded:
            sys.exit(f"The worker ended by itself:\n\n{log.read_text(errors='replace')[-3000:]}")
        finally:
            shutil.rmtree(folder)


def end(worker: subprocess.Popen[bytes]) -> None:
    """Ask the worker to end, and wait until it has."""
    worker.terminate()
    try:
        worker.wait(timeout=10)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


class Interrupted(KeyboardInterrupt):
    """Somebody asked the demo to end.

    A class of its own because Python, once a plain ``KeyboardInterrupt`` has passed through ``exec``, ends itself by
    SIGINT whatever status the program wants.
    """


class WorkerEnded(Exception):
    """The worker has ended although nobody told it to."""


class Gate:
    """Lets signals interrupt the main thread while it is open; those that come before wait, later ones are dropped."""

    def __init__(self) -> None:
        self.worker: subprocess.Popen[bytes] | None = None
        self._open = False
        self._waiting = False

    def __enter__(self) -> Gate:
        self._before = {number: signal.signal(number, self._arrived) for number in (*INTERRUPTS, signal.SIGCHLD)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Be open in the block."""
        self._open = True
        try:
            self._look()
            yield
        finally:
            self._open = False

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self._waiting = self._waiting or number in INTERRUPTS
        self._look()

    def _look(self) -> None:
        if self._open and (self._waiting or (self.worker is not None and self.worker.poll() is not None)):
            self._open = False
            raise Interrupted if self._waiting else WorkerEnded
