"""How a node starts runner processes: from a fork server, or fresh where forking would break something."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any

from umbel.errors import UmbelError
from umbel.worker import frames
from umbel.worker.board import Board
from umbel.worker.origin import Origin
from umbel.worker.runner import RunnerSetup

logger = logging.getLogger("umbel.worker")


class StartFailed(UmbelError):
    """A runner process could not be started; the message is its traceback."""


@dataclass(frozen=True, slots=True)
class Start:
    """What every runner of a node needs: where the app is, and how to log: the arguments of ``log.setup``, empty to
    leave logging as importing the app has it."""

    origin: Origin
    log: dict[str, Any]


class Launcher:
    """Starts runners and tells how they end: ``on_exit(pid, exit code)``; a negative code is a signal's number.

    The node's loop owns it.
    """

    def __init__(self, start: Start, on_exit: Callable[[int, int], None]) -> None:
        self._start = start
        self._on_exit = on_exit
        self._control: socket.socket | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._answer: asyncio.Future[Any] | None = None
        self._turn = asyncio.Lock()
        self._reader = frames.FrameReader()
        self._fresh: dict[int, subprocess.Popen[bytes]] = {}
        self._fresh_only = not hasattr(os, "fork") or sys.platform == "darwin"
        self._closing = False

    async def open(self) -> None:
        """Start the fork server and have it import the app.

        Raises ``StartFailed`` with the traceback when the app cannot be imported there.
        """
        if self._fresh_only:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(  # noqa: ASYNC220  the loop has nothing to do before the server is there
                [sys.executable, "-P", "-m", "umbel.worker.forkserver", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=_environment(),
            )
        ours.setblocking(False)
        self._control = ours
        self._reader = frames.FrameReader()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._receive)
        setup = {"path": sys.path, "log": self._start.log, "origin": astuple(self._start.origin)}
        kind, payload = await self._ask(frames.pack("setup", setup))
        if kind != "ready":
            raise StartFailed(str(payload))
        if payload:
            logger.warning(
                "importing the app has opened %s: runners are started as fresh processes, which takes longer; "
                "open such things in the first task that needs them to have runners forked",
                ", ".join(payload),
            )
            self._fresh_only = True
            self._end_server()

    async def launch(self, setup: RunnerSetup) -> tuple[int, socket.socket, Board]:
        """Start a runner; gives its pid, the node's end of its socket and the board shared with it."""
        ours, theirs = socket.socketpair()
        board = Board.make(setup.slots)
        with theirs:
            try:
                pid = await self._spawn(setup, theirs, board)
            except BaseException:
                ours.close()
                board.close()
                raise
        ours.setblocking(False)
        return pid, ours, board

    async def _spawn(self, setup: RunnerSetup, theirs: socket.socket, board: Board) -> int:
        if self._fresh_only:
            return self._spawn_fresh(setup, theirs, board)
        if self._control is None:
            await self.open()
        kind, payload = await self._ask(frames.pack("fork", astuple(setup)), [theirs.fileno(), board.fd])
        if kind != "forked":
            raise StartFailed(f"the fork server answered {kind}: {payload}")
        pid: int = payload[1]
        return pid

    def _spawn_fresh(self, setup: RunnerSetup, theirs: socket.socket, board: Board) -> int:
        fds = [theirs.fileno(), board.fd]
        told = {
            "path": sys.path,
            "log": self._start.log,
            "origin": astuple(self._start.origin),
            "setup": astuple(setup),
            "fds": fds,
        }
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "umbel.worker.fresh", json.dumps(told)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            process_group=0,
            env=_environment(),
        )
        self._fresh[process.pid] = process
        return process.pid

    def poll(self) -> None:
        """Notice the ends of fresh processes; the fork server tells of its own."""
        for pid, process in list(self._fresh.items()):
            code = process.poll()
            if code is not None:
                del self._fresh[pid]
                self._on_exit(pid, code)

    def close(self) -> None:
        """End the fork server."""
        self._closing = True
        self._end_server()

    def _end_server(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        if self._server is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(timeout=2)
            if self._server.returncode is None:
                self._server.kill()
                self._server.wait()
            self._server = None

    async def _ask(self, frame: bytes, fds: list[int] | None = None) -> tuple[str, Any]:
        async with self._turn:
            control = self._control
            if control is None:
                raise StartFailed("the fork server is gone")
            loop = asyncio.get_running_loop()
            self._answer = loop.create_future()
            if fds:
                socket.send_fds(control, [frame], fds)
            else:
                await loop.sock_sendall(control, frame)
            answer: tuple[str, Any] = await self._answer
            return answer

    def _receive(self) -> None:
        control = self._control
        if control is None:
            return
        try:
            data = control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        for kind, payload in self._reader.feed(data):
            if kind == "exited":
                self._on_exit(*payload)
            elif self._answer is not None and not self._answer.done():
                self._answer.set_result((kind, payload))

    def _lost(self) -> None:
        """The fork server died: running tasks go on, the next launch starts another server."""
        self._end_server()
        if not self._closing:
            logger.error("the fork server ended unexpectedly; a new one is started when a runner is needed")
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(StartFailed("the fork server ended while it imported the app or forked"))


def kill_group(pid: int) -> None:
    """Kill a runner and what its task has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGTERM)


def _environment() -> dict[str, str]:
    """This process's environment, with the path on which it found umbel itself."""
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": here if not path else f"{path}{os.pathsep}{here}"}
