"""Tasks that harm: their own process, or the whole worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from umbel import Task, Umbel


def open_cupboard(app: Umbel, folder: Path) -> Umbel:
    """Declare the poisonous tasks on ``app``; they note their starts in the diary of ``folder``."""

    def note(line: str) -> None:
        with (folder / "diary").open("a") as diary:
            diary.write(line + "\n")

    @app.task(name="poison.runner", bind=True)
    def runner(self: Task[..., Any]) -> None:
        """Kill the process that runs this."""
        note(f"poison {self.request.id}")
        os.kill(os.getpid(), signal.SIGKILL)

    @app.task(name="poison.worker", bind=True)
    def worker(self: Task[..., Any]) -> None:
        """Kill the node, the fork server and the process that runs this, as running out of memory may."""
        note(f"poison {self.request.id}")
        server = os.getppid()
        node = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
        for pid in (node, server, os.getpid()):
            os.kill(pid, signal.SIGKILL)

    @app.task(name="poison.hold", bind=True)
    def hold(self: Task[..., Any], until: str) -> None:
        """Run until the test has made the file ``until``."""
        note(f"hold {self.request.id} {os.getpid()}")
        while not (folder / until).exists():
            time.sleep(0.005)

    @app.task(name="poison.swallow")
    def swallow(data: str) -> int:
        """Take a large argument."""
        return len(data)

    @app.task(name="poison.answer")
    def answer(x: int = 42) -> int:
        return x

    return app
