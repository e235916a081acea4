"""The pool solo: the node's loop in a thread, the tasks in the main thread of the same process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from umbel import current
from umbel.app import Umbel
from umbel.errors import UmbelError
from umbel.model import Delivery, SealedRecord
from umbel.pools.main_thread import MainThread
from umbel.progress.flusher import Flusher
from umbel.tracking import Note
from umbel.worker import hooks
from umbel.worker.board import Board
from umbel.worker.fleet import Fleet
from umbel.worker.holding import Certificate
from umbel.worker.journey import Journey
from umbel.worker.runners import Habit, Runner
from umbel.worker.settler import Report


class Solo:
    """The one runner of a solo node. Made in the main thread; ``fleet`` and ``loop`` come with ``attach``."""

    def __init__(self, app: Umbel, hostname: str) -> None:
        self._app = app
        self._hostname = hostname
        self._board = Board.make()
        self._pool = MainThread(self._board, self._hand_over)
        self._flusher = Flusher(app, hostname, self._tell, self._learned)
        self._journey = Journey(app, hostname, self._pool.call, self, self._flusher)
        self._gate = threading.Condition()
        self._known: set[int] = set()
        """Numbers whose delivery the broker has forgotten; guarded by the condition."""
        self._over = False
        """Whether the node has ended and answers no more; guarded by the condition."""
        self._in_main_thread = False
        self._receive: Callable[[str, Any], None] | None = None
        self._fleet: Fleet | None = None

    def attach(self, fleet: Fleet) -> None:
        """The node is there; called on its loop."""
        self._fleet = fleet

    def serve(self, begin: Callable[[], None]) -> None:
        """Run tasks in this thread until the node, which ``begin()`` starts, says stop.

        Raises ``UmbelError`` when a lifespan of the app cannot begin; then the node was not started.
        """
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        before = current.recorder, current.flusher
        current.recorder, current.flusher = self._record, self._flusher
        self._flusher.start()
        try:
            # on a terminal a debugger may want to speak
            printing = contextlib.nullcontext() if sys.stdout.isatty() else hooks.printing(self._app)
            with printing, hooks.process(self._hostname), self._app.lifespans.entered(self._pool.run):
                begin()
                self._pool.serve()
            self._pool.close()
        finally:
            current.recorder, current.flusher = before
            self._flusher.close()
            self._board.close()

    def stop(self) -> None:
        """Let ``serve`` return, whatever the node does."""
        with self._gate:
            self._over = True
            self._gate.notify_all()
        self._pool.stop()

    # -- what the node uses: a starter and a link -----------------------------------------------------------------

    async def open(self) -> None:
        """Nothing to make ready."""

    async def start(self) -> None:
        """Be the fleet's runner."""
        assert self._fleet is not None
        loop = asyncio.get_running_loop()
        runner = Runner(1, os.getpid(), self, self._board, "")
        fleet = self._fleet

        def receive(kind: str, payload: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the node has ended, and given back what it had not heard of
                loop.call_soon_threadsafe(fleet.receive, runner, kind, payload)

        self._receive = receive
        fleet.add(runner)
        fleet.receive(runner, "ready", os.getpid())

    def tick(self) -> None:
        """Nothing to notice."""

    async def close(self) -> None:
        """Let the main thread return."""
        self._pool.stop()

    def run(self, jobs: Sequence[tuple[int, Delivery]]) -> None:
        """Deliveries to the runner, without a socket between."""
        journey = self._journey
        self._pool.put([(number, functools.partial(journey, number, delivery)) for number, delivery in jobs])

    def certify(self, number: int, delivery: Delivery, certificate: Certificate) -> None:
        """Settle this delivery without running it."""
        self._pool.put([(number, functools.partial(self._journey.certify, number, delivery, certificate))])

    def cancel(self, number: int, certificate: Certificate) -> None:
        """Only where there are neighbours to be kept: a solo runner has none."""

    def interrupt(self, number: int) -> None:
        """The soft limit of this delivery is over."""
        self._pool.interrupt(number)

    def flag(self, number: int) -> None:
        """Ask the task of this delivery to stop at its next step."""
        self._flusher.cancel(number)

    def habits(self, known: Sequence[Habit]) -> None:
        """How long tasks take as a rule."""
        self._flusher.habits.update({name: (seconds, plan) for name, seconds, plan in known})

    def ask(self) -> None:
        """Answer: a solo runner is heard as long as its process lives."""
        self._send("heard", None)

    def acknowledged(self, number: int) -> None:
        """The broker has forgotten this delivery."""
        with self._gate:
            self._known.add(number)
            self._gate.notify_all()

    def kill(self) -> None:
        """End the process: nothing less ends a task of its main thread. The claims return with its end.

        A worker that a program runs in another thread leaves the program alone; its task goes on, and may run twice.
        """
        if self._in_main_thread:
            logging.getLogger("umbel.worker").warning("The process ends with its task")
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(1)

    # -- what the main thread uses --------------------------------------------------------------------------------

    def _send(self, kind: str, payload: Any) -> None:
        assert self._receive is not None
        self._receive(kind, payload)

    def _hand_over(self, reports: list[Report], void: list[int]) -> None:
        if void:
            self._send("void", void)
        if reports:
            self._send("done", reports)

    def _tell(self, notes: Sequence[Note], records: Sequence[SealedRecord]) -> None:
        self._send("notes", notes)
        if records:
            self._send("store", records)

    def _learned(self, name: str, habit: tuple[float, Sequence[tuple[str, float]]]) -> None:
        self._send("habit", (name, habit[0], list(habit[1])))

    def _record(self, record: SealedRecord) -> None:
        self._send("store", [record])

    def limits(self, number: int, soft: float | None, hard: float | None) -> None:
        """Delivery ``number`` starts now, with limits in seconds; a hard one, of its call, is not kept."""
        if hard is not None:
            logging.getLogger("umbel.worker").warning(
                "A call has the hard time limit %g s, which the pool solo cannot keep; its task goes on", hard
            )
        if soft is not None:
            self._send("limits", (number, soft, None))

    async def acknowledge(self, number: int) -> None:
        """Return when the broker has forgotten delivery ``number``; raises ``UmbelError`` if the node ends before."""
        self._send("ack", number)
        with self._gate:
            self._gate.wait_for(lambda: number in self._known or self._over)
            if number not in self._known:
                raise UmbelError("the worker ended before the task was started")
            self._known.discard(number)
