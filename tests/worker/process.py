"""A real worker in real processes, for tests to start, watch, stop and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from tests.faults.checker import ask
from umbel.app import Umbel
from umbel.dead import DeadTask
from umbel.ports import Broker, Marks, ResultBackend
from umbel.result import AsyncResult

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which something that must happen has not: far beyond what a loaded machine needs."""

EVERYWHERE = ("sqlite", "rabbitmq", "redis")
"""The brokers on which a shop may be; with RabbitMQ, results are in a file."""

POOLS = ("processes", "threads", "async")
"""Those that run tasks in child processes."""


def twin(name: str, pool: str) -> str:
    """The task of the shop that does the same as ``name``, and leaves neighbours in this pool alone meanwhile."""
    return f"a{name}" if pool == "async" else name


def wait_until(condition: Callable[[], T], what: str = "") -> T:
    """Give the first truthy answer of ``condition``; fail after ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"it never happened: {what or condition}")
        time.sleep(0.005)


def children(pid: int) -> list[int]:
    """The processes below ``pid``, all generations, as the kernel has them now."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(folder.name))
    found: list[int] = []
    pending = [pid]
    while pending:
        below = parents.get(pending.pop(), [])
        found += below
        pending += below
    return found


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


class Shop:
    """A folder with the tasks of ``shop.py``, a broker file, and the workers started on it."""

    def __init__(self, folder: Path, url: str | None = None, backend: str | None = None) -> None:
        self.folder = folder
        (folder / "shop.py").write_text((Path(__file__).parent / "shop.py").read_text())
        self.url = url or f"sqlite:///{folder}/umbel.db"
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SHOP_FOLDER": str(folder),
            "UMBEL_BROKER_URL": self.url,
        }
        self.app = Umbel("client", broker=self.url, set_as_current=False)
        if backend is not None:
            self.environ["UMBEL_RESULT_BACKEND"] = self.app.conf.result_backend = backend
        self.workers: list[Worker] = []
        self._pipe: IO[bytes] | None = None

    def worker(self, *flags: str, ready: bool = True) -> Worker:
        """Start a worker; return when it can run tasks."""
        if "solo" in flags and ready:
            self._soften()
        worker = Worker(self, len(self.workers), flags)
        self.workers.append(worker)
        if ready:
            worker.wait_for_line(" ready.")
        return worker

    def _soften(self) -> None:
        """Make hard limits soft ones: the pool solo refuses the others."""
        module = self.folder / "shop.py"
        module.write_text(module.read_text().replace("(time_limit=", "(soft_time_limit="))

    def send(self, name: str, *args: Any, **options: Any) -> AsyncResult[Any]:
        """Send a call of ``shop.<name>``."""
        return self.app.send_task(f"shop.{name}", args, **options)

    def get(self, result: AsyncResult[Any]) -> Any:
        """Its value, with patience."""
        return result.get(timeout=PATIENCE)

    def waiting(self) -> int:
        """Messages that nobody has claimed."""

        async def size(broker: Broker, backend: ResultBackend) -> int:
            return await broker.size(self.app.conf.task_default_queue)

        return ask(self.app, size)

    def buried(self) -> list[DeadTask]:
        """The dead letters of this shop; on RabbitMQ those of others stand beside them."""
        return [letter for letter in self.app.dead.list() if letter.queue == self.app.conf.task_default_queue]

    def wait_for_buried(self, *ids: str) -> None:
        """Return when these are the dead letters; where two servers settle, each follows its record."""
        wait_until(lambda: [letter.id for letter in self.buried()] == [*ids], f"the dead letters are {ids}")

    def marks(self, keys: list[str]) -> dict[str, str]:
        """What is marked under these keys, in the store that keeps marks."""

        async def read(broker: Broker, backend: ResultBackend) -> dict[str, str]:
            store = broker if isinstance(broker, Marks) else backend
            assert isinstance(store, Marks)
            return dict(await store.get_marks(keys))

        return ask(self.app, read)

    def diary(self) -> list[str]:
        """What the tasks noted."""
        path = self.folder / "diary"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for_note(self, begin: str, times: int = 1) -> list[str]:
        """Return the notes that begin so, once there are that many."""
        wait_until(lambda: self.count(begin) >= times, f"{times} × {begin!r} in {self.diary()}")
        return [line for line in self.diary() if line.startswith(begin)]

    def count(self, begin: str) -> int:
        """How many notes begin so."""
        return sum(line.startswith(begin) for line in self.diary())

    def go(self, name: str = "go") -> None:
        """Let the tasks that wait for this file go on."""
        (self.folder / name).touch()

    def let_go(self) -> None:
        """Let the tasks go on that hold the interpreter's lock, and those that would."""
        self._pipe = (self.folder / "grip").open("rb+", buffering=0)  # has a writer, which they wait for

    def pid_of(self, name: str) -> int:
        """The process that last noted a start of ``name``."""
        return int(self.wait_for_note(f"start {name} ")[-1].split()[-1])

    def close(self) -> None:
        """End every worker, however it stands."""
        for worker in self.workers:
            worker.kill_tree()
        if self._pipe is not None:
            self._pipe.close()
        self.app.close()


class Worker:
    """One ``umbel worker``, in a session of its own."""

    def __init__(self, shop: Shop, number: int, flags: tuple[str, ...]) -> None:
        self.log = shop.folder / f"worker-{number}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "umbel", "worker", "-A", "shop", *(flags or ("-c", "2"))],
                cwd=shop.folder,
                env=shop.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        """What it printed so far."""
        return self.log.read_text()

    def wait_for_line(self, part: str) -> None:
        """Return when it has printed ``part``; fail when it ends before."""

        def printed() -> bool:
            if part in self.text():
                return True
            assert self.process.poll() is None, f"the worker ended before {part!r}:\n{self.text()}"
            return False

        wait_until(printed, f"{part!r} in the worker's output:\n{self.text()}")

    def tree(self) -> list[int]:
        """The node and everything below it."""
        return [self.process.pid, *children(self.process.pid)]

    def signal(self, number: signal.Signals) -> None:
        """To the node alone."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status."""
        return self.process.wait(PATIENCE)

    def kill_tree(self) -> None:
        """``kill -9`` everything at once."""
        if self.process.poll() is None:
            for pid in self.tree():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self.process.wait(PATIENCE)
