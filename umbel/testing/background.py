"""Runs a real worker in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from umbel.app import Umbel
from umbel.call import NO_OPTIONS
from umbel.errors import UmbelError
from umbel.ids import node_name
from umbel.testing.borrowing import borrowed, fresh_url
from umbel.worker.alone import Alone
from umbel.worker.plan import Plan

PATIENCE = 30.0
"""Seconds that a worker may take to be ready and, beyond its grace, to end."""


@contextmanager
def working(
    app: Umbel, *, broker_url: str | None = None, queues: Sequence[str] | None = None, **settings: Any
) -> Iterator[BackgroundWorker]:
    """A block beside which a worker of ``app`` runs, in a thread, by the real clock; it ends warm with the block.

    The app's messages and results are kept at ``broker_url`` meanwhile, by default in memory; ``settings`` are the
    app's for that time. The worker serves ``queues``, by default those that are declared and those that calls of
    tasks go to. Its tasks run in its thread, so no time limit can stop them.

    Raises ``ConfigurationError`` where the app is in such a block already, and for settings; ``UmbelError`` when the
    worker does not start, or its task does not end; and what the worker itself ends with.
    """
    with borrowed(app, "working(app)", broker_url or fresh_url(), settings):
        worker = BackgroundWorker(app, queues)
        try:
            worker.start()
            yield worker
        finally:
            worker.stop()


def _queues_of(app: Umbel) -> Iterator[str]:
    """Those that are declared, and those that calls of its tasks go to."""
    yield from app.queues.declared
    for task in app.tasks.values():
        queue = app.publisher.queue_of(task.name, task.resolved(NO_OPTIONS))
        if queue is not None:
            yield queue


class BackgroundWorker:
    """What ``working`` gives: ``app``, its ``name`` and the ``queues`` that it serves."""

    def __init__(self, app: Umbel, queues: Sequence[str] | None = None) -> None:
        conf = app.conf
        self.app = app
        self.name = node_name("testing@%h")
        self.queues = tuple(dict.fromkeys(queues or _queues_of(app)))
        self._plan = Plan(
            name=self.name,
            queues=self.queues,
            pool="solo",
            concurrency=1,
            multiplier=conf.worker_prefetch_multiplier,
            grace=conf.worker_grace,
            origin=None,
        )
        self._ready = threading.Event()
        self._alone = Alone(app, self._plan, self._ready.set)
        self._thread = threading.Thread(target=self._serve, name="umbel-testing", daemon=True)
        self._failure: BaseException | None = None
        self._stopped = False

    def __repr__(self) -> str:
        return f"<worker {self.name} of {self.app!r}>"

    def start(self) -> None:
        """Return when tasks can run. Raises as ``working``."""
        self._thread.start()
        if not self._ready.wait(PATIENCE):
            raise UmbelError(f"{self!r} was not ready within {PATIENCE:g} s")
        self._raise_failure()

    def stop(self) -> None:
        """End warm: what runs may finish within ``worker_grace``. Raises as ``working``; a second call does nothing."""
        if self._stopped:
            return
        self._stopped = True
        self._alone.stop()
        self._thread.join(self._plan.grace + PATIENCE)
        if self._thread.is_alive():
            raise UmbelError(f"{self!r} does not end: a task has run beyond worker_grace ({self._plan.grace:g} s)")
        self._raise_failure()

    def _serve(self) -> None:
        try:
            self._alone.serve()
        except BaseException as error:  # noqa: BLE001  handed to the test, which raises it
            self._failure = error
        finally:
            self._ready.set()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            self._stopped = True
            raise failure
