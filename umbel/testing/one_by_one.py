"""Takes deliveries out of a memory store one by one, and runs each as a worker does."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from umbel import current
from umbel.app import Umbel
from umbel.attempt import drive
from umbel.ids import node_name
from umbel.middleware import Runnable
from umbel.model import ACK, REQUEUE, Delivery, Message, SealedRecord, Settlement
from umbel.ports import Mark
from umbel.progress.flusher import Flusher
from umbel.revoking import PREFIX as REVOKED_PREFIX
from umbel.stores.memory import Holder, MemoryStore
from umbel.testing.history import LOST, Ran, Witness, read
from umbel.tracking import Note
from umbel.worker import counts, holding, hooks
from umbel.worker.holding import Certificate
from umbel.worker.journey import Journey
from umbel.worker.settler import Report

BEFORE, AFTER = "before", "after"


class OneByOne:
    """A worker without processes and threads, in the hands of whoever calls it; one delivery at a time.

    It claims, decodes, admits, runs and settles by the worker's own code. Time limits are not kept: nobody watches.
    """

    def __init__(self, app: Umbel, store: MemoryStore, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._app = app
        self._loop = loop
        """The test's own loop, where the test runs on one; lifespans that are ``async def`` live there then."""
        self._store = store
        self._keeps_results = app.result_url is not None
        self._holder = Holder(())
        self._runner: asyncio.Runner | None = None
        """The loop of ``async def`` tasks that are run from plain code; lives as long as this."""
        self._on_loop = False
        self._early = False
        """Whether the delivery under way was settled before its task started."""
        self._number = 0
        self.crash: str | None = None
        """When the worker dies next: BEFORE or AFTER the next task, None for never."""

    @contextmanager
    def living(self) -> Iterator[None]:
        """The life of this worker, with the lifespans of its app; its loop ends last."""
        try:
            with hooks.process(HOSTNAME), self._app.lifespans.entered(self._wait_for):
                yield
        finally:
            if self._runner is not None:
                self._runner.close()

    def _wait_for(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is not None:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        return self._own_loop().run(work)

    def _own_loop(self) -> asyncio.Runner:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner

    def run_next(self) -> Ran | None:
        """Run what is to be run next in this thread; None when nothing is due."""
        delivery = self._claim()
        if delivery is None:
            return None
        self._on_loop = False
        return drive(self._live(delivery))

    async def arun_next(self) -> Ran | None:
        """As ``run_next``: ``async def`` tasks on this loop, others in a thread each, as no loop runs there."""
        delivery = self._claim()
        if delivery is None:
            return None
        self._on_loop = True
        job = asyncio.create_task(self._live(delivery))
        try:
            await asyncio.wait({job})
        except asyncio.CancelledError:
            # a task's CancelledError is its failure, and must not swallow that of the one who waits here
            job.cancel()
            await asyncio.wait({job})
            raise
        return job.result()

    def _claim(self) -> Delivery | None:
        self._holder.queues = tuple(each.name for each in self._store.queues())
        claimed = self._store.claim(self._holder, 1)
        return claimed[0] if claimed else None

    async def _live(self, delivery: Delivery) -> Ran:
        known = read(self._app, delivery)
        at = datetime.fromtimestamp(self._app.clock.now(), self._app.timezone)
        seen = {**known, "redelivered": delivery.redelivered, "at": at}
        certificate = self._certificate(delivery)
        if certificate is None and self.crash == BEFORE:
            return self._die(delivery, seen)
        witness = Witness(self._app, HOSTNAME)
        flusher = Flusher(self._app, HOSTNAME, self._tell)
        journey = Journey(self._app, HOSTNAME, self._call, self, flusher, witness)
        self._number += 1
        self._early = False
        self._delivery = delivery
        with self._recording(flusher):
            if certificate is None:
                report = await journey(self._number, delivery)
            else:
                report = await journey.certify(self._number, delivery, certificate)
        if certificate is None and self.crash is not None:
            return self._die(delivery, seen)
        self._settle(delivery, report)
        return Ran(**seen, **witness.end)

    # -- the node's part ------------------------------------------------------------------------------------------

    def _certificate(self, delivery: Delivery) -> Certificate | None:
        """How it ends without being run: revoked, or started too often by workers that died of it."""
        task_id, marks = delivery.envelope.id, self._store.marks
        if marks.get([REVOKED_PREFIX + task_id]):
            return Certificate(holding.REVOKED, "revoked")
        if not delivery.redelivered:
            return None
        key, limit = counts.PREFIX + task_id, self._app.conf.task_max_starts
        starts = 1 + int(marks.get([key]).get(key, 0))
        if starts >= limit:
            reason = f"{starts} starts ended without a verdict, with the whole worker (task_max_starts={limit})"
            return Certificate(holding.LOST, reason, bury=True)
        marks.put([Mark(key, str(starts), self._app.clock.now() + counts.KEPT)])
        return None

    def _settle(self, delivery: Delivery, report: Report) -> None:
        if report.note is not None:
            self._store.progress.write([report.note])
        if not self._early:
            self._store.settle(self._holder, [Settlement(delivery, report.verdict, report.follow_ups, report.record)])
        else:
            self._store.publish(report.follow_ups)
            if report.record is not None:
                self._store.store([report.record])
        if delivery.redelivered:
            self._store.marks.drop([counts.PREFIX + delivery.envelope.id])

    def _die(self, delivery: Delivery, seen: dict[str, Any]) -> Ran:
        """The end of the worker: what was not settled returns, marked, whatever its task had done."""
        self.crash = None
        self._store.settle(self._holder, [Settlement(delivery, REQUEUE)])
        return Ran(**seen, state=LOST, value=None, traceback=None)

    @contextmanager
    def _recording(self, flusher: Flusher) -> Iterator[None]:
        before = current.recorder, current.flusher
        current.recorder, current.flusher = self._record, flusher
        try:
            yield
        finally:
            current.recorder, current.flusher = before

    def _tell(self, notes: Sequence[Note], records: Sequence[SealedRecord]) -> None:
        self._store.progress.write(notes)
        for record in records:
            self._record(record)

    def _record(self, record: SealedRecord) -> None:
        if self._keeps_results:
            self._store.store([record])

    async def acknowledge(self, number: int) -> None:
        """As ``NodeSide.acknowledge``."""
        self._early = True
        self._store.settle(self._holder, [Settlement(self._delivery, ACK)])

    def limits(self, number: int, soft: float | None, hard: float | None) -> None:
        """As ``NodeSide.limits``; they are not kept."""

    # -- the pool's part ------------------------------------------------------------------------------------------

    async def _call(self, task: Runnable, message: Message) -> Any:
        if self._on_loop:
            if task.is_async:
                return await task.run(*message.args, **message.kwargs)
            return await asyncio.to_thread(task.run, *message.args, **message.kwargs)
        if not task.is_async:
            return task.run(*message.args, **message.kwargs)
        work = task.run(*message.args, **message.kwargs)
        return self._own_loop().run(work, context=contextvars.copy_context())


HOSTNAME = node_name("testing@%h")
