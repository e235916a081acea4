"""Runs a solo worker: its node on a loop in a thread, its tasks in the calling thread."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

from umbel.app import Umbel
from umbel.errors import UmbelError
from umbel.worker.node import Node
from umbel.worker.plan import Plan
from umbel.worker.shutdown import hears_hangup
from umbel.worker.solo import Solo

_HANGUP = "SIGHUP"
"""The signal of a terminal that is closed: it begins the end and never hastens it."""


class Alone:
    """A solo worker; ``serve`` runs it in the calling thread, ``stop`` may be called from any thread."""

    def __init__(self, app: Umbel, plan: Plan, on_ready: Callable[[], None] | None = None) -> None:
        self._solo = Solo(app, plan.name)
        self._app = app
        self._plan = plan
        self._on_ready = on_ready
        self._loop = asyncio.new_event_loop()
        self._node: Node | None = None
        self._status = 1
        self._failure: BaseException | None = None

    def serve(self) -> int:
        """Work until stopped; gives the exit status, raises what the node raises."""
        thread = threading.Thread(target=self._run_node, name="umbel-node", daemon=True)
        self._solo.serve(thread.start)
        thread.join()
        if self._failure is not None:
            raise self._failure
        return self._status

    def stop(self, sig: str | None = None) -> None:
        """Ask for the next stage of the end; ``sig`` is the name of the signal that did."""
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._ask, sig)

    def _ask(self, sig: str | None) -> None:
        if self._node is None:
            return
        if sig == _HANGUP:
            self._node.shutdown.ask_first(sig)
        else:
            self._node.shutdown.ask(sig)

    def _run_node(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                self._status = runner.run(self._node_main())
        except BaseException as error:  # noqa: BLE001  handed to the thread that serves, which raises it
            self._failure = error
        finally:
            self._solo.stop()

    async def _node_main(self) -> int:
        def starter(consumer: object, fleet: object) -> Solo:
            self._solo.attach(fleet)  # type: ignore[arg-type]
            return self._solo

        self._node = Node(self._app, self._plan, starter, self._on_ready)
        return await self._node.serve()


def run_alone(app: Umbel, plan: Plan, on_ready: Callable[[], None] | None) -> int:
    """Be a solo worker until SIGTERM or SIGINT, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        raise UmbelError("a solo worker needs the main thread, for its signals")
    alone = Alone(app, plan, on_ready)
    with _on_signals(alone.stop):
        return alone.serve()


@contextlib.contextmanager
def _on_signals(stop: Callable[[str], None]) -> Iterator[None]:
    def handle(number: int, frame: object) -> None:
        stop(signal.Signals(number).name)

    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if hears_hangup() else [])]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
