"""Two ends of one server: a real Celery, worker and client, and a real umbel, worker and client."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.worker.process import PATIENCE, children, wait_until
from umbel.app import Umbel
from umbel.result import AsyncResult

HERE = Path(__file__).parent

ON_RABBITMQ = ["rabbitmq-celery56", "rabbitmq-celery57"]
ON_REDIS = ["redis-celery56", "redis-celery57"]


class Program:
    """One process of an end, with what it prints in a file."""

    def __init__(self, folder: Path, name: str, command: list[str], environ: dict[str, str]) -> None:
        self.log = folder / f"{name}-{uuid.uuid4().hex[:8]}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if name == "client" else log,
                stderr=log,
                start_new_session=True,
            )

    def text(self) -> str:
        """What it printed so far."""
        return self.log.read_text(errors="replace")

    def ready(self) -> None:
        """Return when it has said so."""
        wait_until(lambda: " ready." in self.text() or self.process.poll() is not None, "a worker is ready")
        assert self.process.poll() is None, self.text()

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait(PATIENCE)

    def kill(self) -> None:
        """``kill -9`` it and everything below it."""
        if self.process.poll() is None:
            for pid in (self.process.pid, *children(self.process.pid)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        self.process.wait(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


class Ends:
    """A folder, a queue for each end, and the programs on them.

    ``python`` is that of Celery's environment; ``backend`` is where results are, by its URL. ``query`` is what umbel's
    URL of the broker ends with, ``conf`` are more settings of Celery's end.
    """

    def __init__(self, folder: Path, url: str, backend: str, python: Path, *, query: str = "", **conf: object) -> None:
        self.folder = folder
        self.url = url
        self.backend = backend
        self._urls = {"celery": url, "umbel": url + query}
        self._conf = conf
        self._python = {"celery": str(python), "umbel": sys.executable}
        for name in ("deeds.py", "celery_client.py"):
            shutil.copy(HERE / name, folder / name)
        self.tag = uuid.uuid4().hex[:12]
        self.queues = {end: f"{end}-{self.tag}" for end in ("celery", "umbel")}
        self._programs: list[Program] = []
        self.app = Umbel("client", broker=self._urls["umbel"], backend=backend, set_as_current=False)
        self.app.conf.update(
            accept_content=["json", "msgpack", "yaml", "pickle"], task_default_queue=self.queues["umbel"]
        )
        self._client: Program | None = None

    def _environ(self, end: str) -> dict[str, str]:
        path = str(HERE.parents[1]) if end == "umbel" else ""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("UMBEL_", "CELERY_"))},
            "PYTHONPATH": path,
            "INTEROP_END": end,
            "INTEROP_QUEUE": self.queues[end],
            "INTEROP_BROKER": self._urls[end],
            "INTEROP_BACKEND": self.backend,
            "INTEROP_CONF": json.dumps(self._conf),
            "INTEROP_FOLDER": str(self.folder),
            "UMBEL_ALLOW_PICKLE_AS_ROOT": "1",
            "C_FORCE_ROOT": "1",
        }

    def start(self, end: str, *queues: str, without: Sequence[str] = ()) -> Program:
        """Start a worker of one end, on its own queue or on these; it may not be ready yet. It has none of the packages
        ``without``."""
        words = ["-A", "deeds", "worker", "-Q", ",".join(queues or [self.queues[end]]), "-c", "2", "-l", "INFO"]
        if end == "celery":
            words += ["--without-gossip", "--without-mingle", "--without-heartbeat", "-n", f"{uuid.uuid4().hex}@%h"]
        environ = self._environ(end)
        if without:
            lacking = self.folder / "lacking"
            lacking.mkdir(exist_ok=True)
            for name in without:
                (lacking / f"{name}.py").write_text(f"raise ImportError('{name} is not installed')\n")
            environ["PYTHONPATH"] = f"{lacking}{os.pathsep}{environ['PYTHONPATH']}"
        program = Program(self.folder, end, [self._python[end], "-m", end, *words], environ)
        self._programs.append(program)
        return program

    def celery(self, code: str, *, fresh: bool = False) -> Any:
        """What Celery's client makes of this code: the value of its last expression, as JSON has it.

        ``fresh``: a client that has waited for nothing yet. One that has is sent its results, and does not ask for them
        any more: without ``get()`` it sees no state.
        """
        if fresh and self._client is not None:
            self._client.kill()
            self._client = None
        if self._client is None:
            command = [self._python["celery"], "celery_client.py"]
            self._client = Program(self.folder, "client", command, self._environ("celery"))
            self._programs.append(self._client)
        process = self._client.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps(code)}\n".encode())
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, self._client.text()
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def send(self, name: str, *args: Any, queue: str = "celery", **options: Any) -> AsyncResult[Any]:
        """Send a call of a deed from umbel's client, to Celery's worker unless said otherwise."""
        return self.app.send_task(f"deeds.{name}", args, queue=self.queues.get(queue, queue), **options)

    def get(self, result: AsyncResult[Any]) -> Any:
        """Its value, with patience."""
        return result.get(timeout=PATIENCE)

    def diary(self) -> list[str]:
        """What the deeds noted."""
        path = self.folder / "diary"
        return path.read_text().splitlines() if path.exists() else []

    def count(self, begin: str) -> int:
        """How many notes begin so."""
        return sum(line.startswith(begin) for line in self.diary())

    def noted(self, begin: str) -> str:
        """The first note that begins so, once there is one."""
        return wait_until(lambda: next((line for line in self.diary() if line.startswith(begin)), ""), begin)

    def open(self, gate: str) -> None:
        """Let the deeds that wait for this gate go on."""
        (self.folder / gate).touch()

    def close(self) -> None:
        """End everything."""
        for program in self._programs:
            program.kill()
        self.app.close()
