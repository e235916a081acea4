"""The process that runners are forked from: it has imported the app, and runs nothing itself."""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
from typing import Any

from umbel import log
from umbel.worker import frames
from umbel.worker.board import Board
from umbel.worker.origin import Origin
from umbel.worker.runner import NODE_GONE, RunnerSetup, end_process, ignore_shutdown_signals, live

_RECEIVE = 1 << 16


class ForkServer:
    """Answers the node: forks a runner for each request, and says how runners ended."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._reader = frames.FrameReader()
        self._fds: list[int] = []
        """Descriptors that arrived for fork requests not yet read whole."""
        self._app: Any = None

    def serve(self) -> None:
        """Work until the node is gone."""
        wake_read, wake_write = socket.socketpair()
        wake_read.setblocking(False)
        wake_write.setblocking(False)
        signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
        ignore_shutdown_signals()
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(wake_read, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is wake_read:
                        with contextlib.suppress(BlockingIOError):
                            wake_read.recv(_RECEIVE)
                        self._reap()
                    else:
                        self._receive((selector, wake_read, wake_write))

    def _receive(self, to_close: tuple[Any, ...]) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, _RECEIVE, 16)
        except OSError:
            data, fds = b"", []
        if not data:
            os._exit(NODE_GONE)
        self._fds += fds
        for kind, payload in self._reader.feed(data):
            if kind == "setup":
                self._setup(payload)
            elif kind == "fork":
                self._fork(payload, (self._fds.pop(0), self._fds.pop(0)), to_close)

    def _setup(self, payload: dict[str, Any]) -> None:
        sys.path[:] = payload["path"]
        try:
            self._app = Origin(*payload["origin"]).load()
            self._app.import_modules()
            if payload["log"]:
                log.setup(**payload["log"])
        except BaseException:  # noqa: BLE001  the node raises it
            self._send("failed", traceback.format_exc())
            return
        gc.collect()
        gc.freeze()  # what is here now is shared with every runner; the collector must not write into its pages
        self._send("ready", troubles())

    def _fork(self, payload: tuple[Any, ...], fds: tuple[int, int], to_close: tuple[Any, ...]) -> None:
        pid = os.fork()
        if pid:
            for fd in fds:
                os.close(fd)
            self._send("forked", (payload[0], pid))
            return
        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for thing in to_close:
                thing.close()
            self._control.close()
            live(self._app, socket.socket(fileno=fds[0]), Board(fds[1]), RunnerSetup(*payload))
            code = 0
        except BaseException:  # noqa: BLE001  nothing may run up the fork's stack
            traceback.print_exc()
        finally:
            end_process(code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._send("exited", (pid, os.waitstatus_to_exitcode(status)))

    def _send(self, kind: str, payload: Any) -> None:
        try:
            self._control.sendall(frames.pack(kind, payload))
        except OSError:
            os._exit(NODE_GONE)


def troubles() -> list[str]:
    """What a fork would copy and break: threads and sockets that importing the app has opened."""
    found = [f"thread {thread.name!r}" for thread in threading.enumerate() if thread is not threading.main_thread()]
    for entry in gc.get_objects():
        if isinstance(entry, socket.socket) and entry.fileno() >= 0:
            with contextlib.suppress(OSError):
                if entry.family in (socket.AF_INET, socket.AF_INET6):
                    found.append(f"socket {entry.getsockname()}")
    return found


if __name__ == "__main__":
    ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()
