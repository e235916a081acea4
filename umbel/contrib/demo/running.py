"""Runs the demo: a worker beside the page, by default on an embedded broker, until somebody has seen enough."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from umbel.errors import ConfigurationError

if TYPE_CHECKING:
    import uvicorn

LOG = "worker.log"
INTERRUPTS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
HEARD = (*INTERRUPTS, *(getattr(signal, name) for name in ("SIGCHLD",) if hasattr(signal, name)))


def run(port: int, say: Callable[[str], None], folder: str | None = None, secret: str | None = None) -> int:
    """Serve the page on this machine; ``port`` 0 is any. Returns when all of it has ended.

    0 after ctrl-C, SIGTERM or SIGHUP, at whatever moment; 1 when the worker ended by itself: the end of its log is
    said then. Without ``folder`` its files are in one of its own, which is gone afterwards. Raises
    ``ConfigurationError`` when the port is taken, and ``StoreError`` when the broker cannot be used.
    """
    with _Ending() as ending, _listener(port) as listener, _home(folder) as home:
        os.environ["UMBEL_HOME"] = home
        _reach_broker()
        server = _make_server(secret)
        with _worker(home) as worker:
            ending.watch(server, worker)
            say(f"Open http://127.0.0.1:{listener.getsockname()[1]}/ in a browser; ctrl-C ends it all")
            server.run(sockets=[listener])
        if not ending.asked:
            say(f"The worker ended by itself:\n\n{(Path(home) / LOG).read_text(errors='replace')[-3000:]}")
            return 1
    say("Stopped: the worker has ended" + (", and its files are gone." if folder is None else "."))
    return 0


class _Ending:
    """Tells the server to end when somebody interrupts the program, or when the worker has ended.

    An interrupt before there is a server waits for it, so that nothing half made is left; later ones are dropped.
    """

    def __init__(self) -> None:
        self.asked = False
        self._server: uvicorn.Server | None = None
        self._worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        heard = [number for number in HEARD if signal.getsignal(number) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._arrived) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def watch(self, server: uvicorn.Server, worker: subprocess.Popen[bytes]) -> None:
        """End this server, at once if it should have ended already."""
        self._server, self._worker = server, worker
        self._look()

    def _arrived(self, number: int, frame: Any) -> None:
        self.asked = self.asked or number in INTERRUPTS
        self._look()

    def _look(self) -> None:
        if self._server is not None and self._worker is not None and (self.asked or self._worker.poll() is not None):
            self._server.should_exit = True


def _make_server(secret: str | None) -> uvicorn.Server:
    import uvicorn

    from umbel.contrib.demo.site import make_site

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave signals as they are: those of uvicorn come back when it has ended, and would cut off the rest."""
            yield

    return Server(uvicorn.Config(make_site(secret), log_level="warning", timeout_graceful_shutdown=5))


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        problem = f"port {port} of this machine is taken; --port names another, 0 takes any"
        raise ConfigurationError(problem) from error


def _reach_broker() -> None:
    from umbel import bridge
    from umbel.contrib.demo.tasks import app
    from umbel.model import Queue

    way, broker = bridge.get(), app.broker

    async def reach() -> None:
        await way.entered(broker)
        await broker.declare(Queue(app.conf.task_default_queue))

    way.run(reach())


@contextmanager
def _home(folder: str | None) -> Iterator[str]:
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="umbel-demo-", ignore_cleanup_errors=True) as made:
        yield made


@contextmanager
def _worker(home: str) -> Iterator[subprocess.Popen[bytes]]:
    """One with four runners, in a session of its own: ctrl-C is the page's, which ends it."""
    with (Path(home) / LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "umbel", "-A", "umbel.contrib.demo.tasks", "worker", "-c", "4"],
            env={**os.environ, "UMBEL_WORKER_GRACE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
