"""The child that runs tasks: an I/O thread for the node's frames, the main thread for the user's functions."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from umbel import current, log
from umbel.app import Umbel
from umbel.attempt import Ended
from umbel.model import SealedRecord
from umbel.pools.choice import make_pool
from umbel.pools.pool import Flag, Job, Pool, ThreadFlag
from umbel.progress.flusher import Flusher, Habit
from umbel.tracking import Note
from umbel.worker import frames, hooks
from umbel.worker.board import Board
from umbel.worker.holding import Certificate
from umbel.worker.journey import Journey
from umbel.worker.settler import Report

NODE_GONE = 71
"""Exit status of a runner whose node is gone."""


@dataclass(frozen=True, slots=True)
class RunnerSetup:
    """What a runner is told at its start. ``lifeline`` is a file to lock for life, or empty; ``slots`` is how many
    deliveries it runs at once."""

    number: int
    hostname: str
    lifeline: str
    pool: str
    slots: int


class NodeWire:
    """A runner's end of the socket: frames out from any thread, frames in on the I/O thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._acknowledged: dict[int, Flag] = {}
        """Those who wait until the broker has forgotten their delivery, by its number."""
        self.flag: Callable[[], Flag] = ThreadFlag
        """How they wait; the pool's."""

    def send(self, kind: str, payload: Any = None) -> None:
        """Write a frame; a node that is gone ends the process."""
        data = frames.pack(kind, payload)
        with self._lock:
            try:
                self._sock.sendall(data)
            except OSError:
                os._exit(NODE_GONE)

    def hand_over(self, reports: list[Report], void: list[int]) -> None:
        """Tell the node how deliveries ended, and which were not started."""
        if void:
            self.send("void", void)
        if reports:
            self.send("done", [frames.flat_report(report) for report in reports])

    def record(self, record: SealedRecord) -> None:
        """Have the node store a record of a running task."""
        self.send("store", [frames.flat_record(record)])

    def tell(self, notes: Sequence[Note], records: Sequence[SealedRecord]) -> None:
        """Have the node write how far running tasks are: who finds the record finds the note, which says more."""
        self.send("notes", [tuple(note) for note in notes])
        if records:
            self.send("store", [frames.flat_record(record) for record in records])

    def learned(self, name: str, habit: Habit) -> None:
        """Tell the node how long a task takes as a rule."""
        seconds, plan = habit
        self.send("habit", (name, seconds, list(plan)))

    def limits(self, number: int, soft: float | None, hard: float | None) -> None:
        """Delivery ``number`` starts now, with limits in seconds."""
        self.send("limits", (number, soft, hard))

    async def acknowledge(self, number: int) -> None:
        """Return when the broker has forgotten delivery ``number``."""
        flag = self._acknowledged[number] = self.flag()
        self.send("ack", number)
        await flag.wait()

    def listen(self, pool: Pool, journey: Journey, flusher: Flusher) -> None:
        """Feed ``pool`` until the node says stop or is gone; then the process leaves at once, whatever it runs."""
        reader = frames.FrameReader()
        while True:
            try:
                data = self._sock.recv(1 << 18)
            except OSError:
                data = b""
            if not data:
                os._exit(NODE_GONE)
            for kind, payload in reader.feed(data):
                if kind == "run":
                    pool.put([_job(journey, number, flat) for number, flat in payload])
                elif kind == "acked":
                    self._acknowledged.pop(payload).set()
                elif kind == "certify":
                    number, flat, certificate = payload
                    delivery = frames.whole_delivery(flat)
                    told = Certificate(*certificate)
                    pool.put([(number, functools.partial(journey.certify, number, delivery, told))])
                elif kind == "ask":
                    self.send("heard")
                elif kind == "soft":
                    pool.interrupt(payload)
                elif kind == "cancel":
                    number, certificate = payload
                    refuse = functools.partial(self.send, "stubborn", number)
                    pool.cancel(number, Ended(Certificate(*certificate)), refuse)
                elif kind == "flag":
                    flusher.cancel(payload)
                elif kind == "habits":
                    flusher.habits.update({name: (seconds, plan) for name, seconds, plan in payload})
                elif kind == "stop":
                    pool.stop()


def _job(journey: Journey, number: int, flat: tuple[Any, ...]) -> Job:
    return number, functools.partial(journey, number, frames.whole_delivery(flat))


def live(app: Umbel, sock: socket.socket, board: Board, setup: RunnerSetup) -> None:
    """Be a runner until the node stops it; raises ``UmbelError`` when a lifespan of the app cannot begin."""
    lock = hold_lifeline(setup.lifeline)
    ignore_shutdown_signals()
    current.choose(app)
    hooks.starting(app, setup.hostname, {})
    wire = NodeWire(sock)
    pool = make_pool(setup.pool, setup.slots, board, wire.hand_over)
    wire.flag = pool.flag
    flusher = Flusher(app, setup.hostname, wire.tell, wire.learned)
    journey = Journey(app, setup.hostname, pool.call, wire, flusher, turn=pool.turn)
    current.recorder, current.flusher = wire.record, flusher
    flusher.start()
    log.process_name = threading.current_thread().name = f"runner-{setup.number}"
    threading.Thread(target=wire.listen, args=(pool, journey, flusher), name="umbel-io", daemon=True).start()
    with hooks.printing(app), hooks.process(setup.hostname), app.lifespans.entered(pool.run):
        wire.send("ready", os.getpid())
        pool.serve()
    pool.close()
    wire.send("bye")
    if lock is not None:
        os.close(lock)


def ignore_shutdown_signals() -> None:
    """Shutdown reaches a runner over its socket alone, so that a signal to the whole group harms no task.

    The handlers do nothing, in place of SIG_IGN, which a task's subprocesses would inherit.
    """
    for name in ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _do_nothing)


def _do_nothing(signum: int, frame: object) -> None:
    return


def hold_lifeline(path: str) -> int | None:
    """Lock ``path`` for as long as this process lives, so that others know it may still be running a task."""
    if not path:
        return None
    import fcntl

    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    return fd


def drop_lifeline(path: str) -> None:
    """Remove the file of a runner that has ended, and with it its lock."""
    if path:
        with contextlib.suppress(OSError):  # one that is left is removed with its node's
            os.unlink(path)


def end_process(code: int = 0) -> None:
    """Leave a forked runner: the interpreter's own end, with its exit handlers, but never back up the fork's stack."""
    import atexit

    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        gc.disable()
        os._exit(code)
