"""An example pasted into an empty project, with its worker and its web server: real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from tests.worker.process import PATIENCE, wait_until
from tools.ports import free_port

ROOT = Path(__file__).resolve().parent.parent.parent


class Site:
    """The files of a project; ``serve`` runs its server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("UMBEL_", "DJANGO_"))}
        self.environ = {**inherited, "PYTHONPATH": f"{folder}:{ROOT}", "UMBEL_HOME": str(folder)}

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """``python -m …`` in the project, ended with the block; its output goes to a file of that name."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    @contextmanager
    def worker(self, app: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker that is ready."""
        with self.running("worker", "-m", "umbel", "worker", "-A", app, "-c", "2") as process:
            self.wait_for(lambda: " ready." in self.log("worker"), process, "worker")
            yield process

    @contextmanager
    def server(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A web server that answers."""
        with self.running("server", *arguments) as process:
            self.wait_for(self.answers, process, "server")
            yield process

    def wait_for(self, condition: Any, process: subprocess.Popen[bytes], name: str) -> None:
        """Return once it holds; fails with what the process printed if that ends before."""

        def held() -> bool:
            assert process.poll() is None, self.log(name)
            return bool(condition())

        wait_until(held, self.log(name))

    def log(self, name: str) -> str:
        """What a process printed."""
        return (self.folder / f"{name}.log").read_text()

    def answers(self) -> bool:
        """Whether anything is served."""
        try:
            return self.get("/umbel/umbel-progress.js")[0] == 200
        except OSError:
            return False

    def get(self, path: str, **headers: str) -> tuple[int, Message, bytes]:
        """Status, headers and body."""
        return self._ask(urllib.request.Request(self.url + path, headers=headers))

    def post(self, path: str, body: bytes = b"", /, **headers: str) -> tuple[int, Message, bytes]:
        """The same, by POST, as a script sends it."""
        given = {"Content-Type": "application/json", **headers}
        return self._ask(urllib.request.Request(self.url + path, body, headers=given))

    def _ask(self, request: urllib.request.Request) -> tuple[int, Message, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def stream(self, path: str) -> HTTPResponse:
        """An answer that stays open."""
        answer: HTTPResponse = urllib.request.urlopen(self.url + path, timeout=PATIENCE)
        return answer

    def ended(self, key: str) -> Any:
        """The last snapshot of a task."""

        def look() -> Any:
            seen = json.loads(self.get(f"/umbel/tasks/{key}")[2])
            return seen if seen.get("final") else None

        return wait_until(look)
