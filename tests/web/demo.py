"""The demo in processes of its own, which can be stopped and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.worker.process import PATIENCE, alive, children, wait_until
from tools.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import sys
from umbel.contrib.demo.running import run

run({port}, print, {folder!r}, {secret!r})
"""


class Demo:
    """A folder, a port and a secret that stay while the processes come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when the page is there."""
        program = PROGRAM.format(port=self.port, folder=str(self.folder), secret="the secret of this test's demo")
        with (self.folder / "demo.log").open("ab") as log:
            inherited = {name: value for name, value in os.environ.items() if not name.startswith("UMBEL_")}
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=self.folder,
                env={**inherited, "PYTHONPATH": str(ROOT), "DEMO_PACE": "0.4"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, "the demo's page")

    def stop(self, kill: bool = False) -> None:
        """End it; ``kill`` leaves its server no time to say goodbye. Its worker ends with it."""
        assert self._process is not None
        below = children(self._process.pid)
        self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self._process.wait(PATIENCE)
        if kill:
            for pid in below:
                with contextlib.suppress(ProcessLookupError):  # it has seen that its parent is gone
                    os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(alive, below)), "the end of the demo's worker")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "demo.log").read_text()
        try:
            with urllib.request.urlopen(self.url, timeout=PATIENCE):
                return True
        except OSError:
            return False
