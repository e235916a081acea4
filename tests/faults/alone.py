"""A solo worker in a thread of the test, for as long as a block lasts."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from tests.faults.checker import PATIENCE
from umbel.app import Umbel
from umbel.worker.alone import Alone
from umbel.worker.plan import plan_for


class Worker:
    """Works while in the block; leaving it is a warm end. ``status`` is the exit status then."""

    def __init__(self, app: Umbel, grace: float = PATIENCE) -> None:
        self._ready = threading.Event()
        self._alone = Alone(app, plan_for(app, pool="solo", grace=grace), self._ready.set)
        self._thread = threading.Thread(target=self._serve, name="solo-worker")
        self._error: BaseException | None = None
        self.status: int | None = None

    def _serve(self) -> None:
        try:
            self.status = self._alone.serve()
        except BaseException as error:  # noqa: BLE001  raised in the thread that leaves the block
            self._error = error
        finally:
            self._ready.set()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE), "the worker does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alone.stop()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "the worker does not end"
        if self._error is not None:
            raise self._error
