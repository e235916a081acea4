"""Runner processes for a node: their sockets, their ends, their replacements' numbers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from typing import Any

from umbel.model import Delivery, SealedRecord
from umbel.ports import Consumer, Lifelines
from umbel.tracking import Note
from umbel.worker import frames
from umbel.worker.fleet import Fleet
from umbel.worker.holding import Certificate
from umbel.worker.launch import Launcher, Start, kill_group
from umbel.worker.plan import Plan
from umbel.worker.runner import RunnerSetup, drop_lifeline
from umbel.worker.runners import Habit, Runner

_DRAIN = 1.0
"""Seconds after a runner's end in which the last bytes of its socket, or its exit status, must have arrived."""


class SocketLink(asyncio.Protocol):
    """The node's end of a runner's socket."""

    def __init__(self, pid: int, on_frame: Callable[[str, Any], None], on_end: Callable[[], None]) -> None:
        self._pid = pid
        self._on_frame = on_frame
        self._on_end = on_end
        self._reader = frames.FrameReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for kind, payload in self._reader.feed(data):
            if kind == "done":
                payload = [frames.whole_report(flat) for flat in payload]
            elif kind == "store":
                payload = [SealedRecord(*flat) for flat in payload]
            elif kind == "notes":
                payload = [Note(*flat) for flat in payload]
            self._on_frame(kind, payload)

    def connection_lost(self, error: Exception | None) -> None:
        self._on_end()

    def run(self, jobs: Sequence[tuple[int, Delivery]]) -> None:
        self._send("run", [(number, frames.flat_delivery(delivery)) for number, delivery in jobs])

    def certify(self, number: int, delivery: Delivery, certificate: Certificate) -> None:
        self._send("certify", (number, frames.flat_delivery(delivery), tuple(certificate)))

    def interrupt(self, number: int) -> None:
        self._send("soft", number)

    def cancel(self, number: int, certificate: Certificate) -> None:
        self._send("cancel", (number, tuple(certificate)))

    def flag(self, number: int) -> None:
        self._send("flag", number)

    def habits(self, known: Sequence[Habit]) -> None:
        self._send("habits", list(known))

    def acknowledged(self, number: int) -> None:
        self._send("acked", number)

    def ask(self) -> None:
        self._send("ask")

    def stop(self) -> None:
        self._send("stop")

    def _send(self, kind: str, payload: Any = None) -> None:
        """Queue a frame for the runner; one that is gone never gets it, and its end says so."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.pack(kind, payload))

    def kill(self) -> None:
        """End the runner and what its task has started."""
        kill_group(self._pid)
        if self._transport is not None:
            self._transport.abort()


class Processes:
    """Starts runner processes for ``fleet`` and tells it how they end. The node's loop owns it."""

    def __init__(self, plan: Plan, consumer: Consumer, fleet: Fleet) -> None:
        assert plan.origin is not None
        self._plan = plan
        self._consumer = consumer
        self._fleet = fleet
        self._launcher = Launcher(Start(plan.origin, dict(plan.log)), self._exited)
        self._number = 0
        self._by_pid: dict[int, tuple[Runner, asyncio.Future[int]]] = {}
        self._waits: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Make ready to start runners; raises ``StartFailed`` when the app cannot be imported."""
        await self._launcher.open()

    async def start(self) -> None:
        """Start one runner; raises ``StartFailed``."""
        self._number += 1
        number = self._number
        lifeline = self._consumer.lifeline(number) if isinstance(self._consumer, Lifelines) else ""
        pid, sock, board = await self._launcher.launch(self._setup(number, lifeline))
        loop = asyncio.get_running_loop()
        runner: Runner
        link = SocketLink(
            pid,
            lambda kind, payload: self._fleet.receive(runner, kind, payload),
            lambda: self._ended(runner),
        )
        runner = Runner(number, pid, link, board, lifeline, self._plan.slots)
        self._by_pid[pid] = (runner, loop.create_future())
        self._fleet.add(runner)
        await loop.create_connection(lambda: link, sock=sock)

    def _setup(self, number: int, lifeline: str) -> RunnerSetup:
        return RunnerSetup(number, self._plan.name, lifeline, self._plan.pool, self._plan.slots)

    def tick(self) -> None:
        """Notice what nobody tells; called now and then."""
        self._launcher.poll()

    async def close(self) -> None:
        """Kill what is left, and end the fork server."""
        for runner in list(self._fleet.runners.values()):
            runner.link.kill()
        for wait in list(self._waits):
            wait.cancel()
        self._launcher.close()

    def _exited(self, pid: int, code: int) -> None:
        known = self._by_pid.get(pid)
        if known is None:
            return
        runner, status = known
        drop_lifeline(runner.lifeline)
        if not status.done():
            status.set_result(code)
        self._later(self._drained(runner))

    def _ended(self, runner: Runner) -> None:
        self._later(self._reasoned(runner))

    def _later(self, work: Any) -> None:
        wait = asyncio.get_running_loop().create_task(work)
        self._waits.add(wait)
        wait.add_done_callback(self._waits.discard)

    async def _drained(self, runner: Runner) -> None:
        """It has exited: its socket's end follows, unless a process that it left behind keeps it open."""
        await asyncio.sleep(_DRAIN)
        if runner.pid in self._by_pid:
            await self._reasoned(runner)

    async def _reasoned(self, runner: Runner) -> None:
        """Its socket has ended: its exit status follows."""
        known = self._by_pid.get(runner.pid)
        if known is None:
            return
        self._launcher.poll()
        code: int | None = None
        try:
            code = await asyncio.wait_for(asyncio.shield(known[1]), _DRAIN)
        except TimeoutError:
            kill_group(runner.pid)
        if self._by_pid.pop(runner.pid, None) is not None:
            self._fleet.lost(runner, ended_how(code))


def ended_how(code: int | None) -> str:
    """An exit status in words; a negative one is a signal's number."""
    if code is None:
        return "closed its socket"
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was killed by signal {-code}"
