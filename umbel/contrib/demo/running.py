"""Runs the demo: a worker beside the page, on an embedded broker, until somebody has seen enough."""

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

READY = "Open"


def run(port: int, say: Callable[[str], None], folder: str | None = None, secret: str | None = None) -> int:
    """Serve the page on this machine; ``port`` 0 is any. Returns after ctrl-C or SIGTERM, when all of it has ended."""
    import uvicorn

    # the server sends itself what ended it once more: unhandled, that would leave the worker behind
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    with _home(folder) as home:
        os.environ["UMBEL_HOME"] = home
        from umbel.contrib.demo.site import make_site

        listener = socket.create_server(("127.0.0.1", port))
        with listener, _worker(home):
            config = uvicorn.Config(make_site(secret), log_level="warning", timeout_graceful_shutdown=5)
            say(f"{READY} http://127.0.0.1:{listener.getsockname()[1]}/ in a browser; ctrl-C ends it all")
            uvicorn.Server(config).run(sockets=[listener])
    return 0


@contextmanager
def _home(folder: str | None) -> Iterator[str]:
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="umbel-demo-", ignore_cleanup_errors=True) as made:
        yield made


@contextmanager
def _worker(home: str) -> Iterator[None]:
    """One with four runners, in a session of its own: ctrl-C is the page's, which ends it."""
    with (Path(home) / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "umbel", "-A", "umbel.contrib.demo.tasks", "worker", "-c", "4"],
            env={**os.environ, "UMBEL_WORKER_GRACE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
