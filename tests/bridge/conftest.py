"""A real worker for all tests of a file, and programs that call it from processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.process import PATIENCE, Shop, children, wait_until


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose one worker takes everything, until the file's last test is over."""
    place = Shop(tmp_path_factory.mktemp("shop"))
    place.worker("--pool", "solo")
    yield place
    place.close()


class Program:
    """Python programs beside the shop's tasks; what they print goes to files."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.folder = folder
        self.environ = {**shop.environ, "PYTHONPATH": f"{shop.environ['PYTHONPATH']}{os.pathsep}{shop.folder}"}
        self.running: list[subprocess.Popen[bytes]] = []

    def write(self, name: str, text: str) -> Path:
        """A file of the program."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def start(self, *words: str, **environ: str) -> subprocess.Popen[bytes]:
        """``python`` with these words, in a session of its own."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=self.folder,
                env={**self.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def run(self, text: str, *flags: str) -> list[str]:
        """The lines, warnings and errors among them, that a program printed which has ended well."""
        process = self.start("-u", *flags, str(self.write("program.py", text)))
        status = process.wait(PATIENCE)
        assert status == 0, f"status {status}\n{self.text()}"
        return self.text().splitlines()

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def text(self) -> str:
        """What was printed so far."""
        return self.log.read_text() if self.log.exists() else ""

    def wait_for(self, part: str, times: int = 1) -> None:
        """Return when this was printed so often."""

        def printed() -> bool:
            if self.text().count(part) >= times:
                return True
            assert self.running[-1].poll() is None, f"it ended before {part!r}:\n{self.text()}"
            return False

        wait_until(printed, f"{part!r} in:\n{self.text()}")

    def close(self) -> None:
        """End what runs, with its children."""
        for process in self.running:
            if process.poll() is None:
                for pid in (*children(process.pid), process.pid):
                    os.kill(pid, signal.SIGKILL)
                process.wait(PATIENCE)


@pytest.fixture
def program(shop: Shop, tmp_path: Path) -> Iterator[Program]:
    """A place for a program that calls the shop's tasks."""
    place = Program(shop, tmp_path)
    yield place
    place.close()
