"""Writes down how deliveries ended: in batches, in order, again and again until the store has it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from umbel.clock import Clock
from umbel.errors import StoreError, StoreUnreachable
from umbel.model import Envelope, Route, SealedRecord, Settlement
from umbel.ports import AnswersLate, Broker, Consumer, Follows, KeepsRecords, Mark, Marks, ResultBackend
from umbel.tracking import Note, keeper_of
from umbel.wire.marking import resent

logger = logging.getLogger("umbel.worker")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

MOST_NOTES = 10_000
"""Tasks of whose progress something is kept while the store does not take it."""

KEPT = 86400.0
"""Seconds for which a mark says that somebody was about to bury a message."""

Then = Callable[[], None]
Pair = tuple[Route, Envelope]


class Settling:
    """The only one that settles. The node's loop owns it.

    While the store refuses, everything is kept and tried again; the node claims nothing new meanwhile, because its
    window is full of what is not settled.
    """

    def __init__(self, broker: Broker, consumer: Consumer, backend: ResultBackend | None, clock: Clock) -> None:
        self._broker = broker
        self._consumer = consumer
        self._backend = backend
        self._marks = backend if isinstance(backend, Marks) else None
        self._clock = clock
        self.whole = backend is None or (isinstance(consumer, KeepsRecords) and consumer.keeps(backend))
        """Whether a settlement and its record are one step."""
        self._send = consumer.send if isinstance(consumer, Follows) else broker.publish
        self._heard = consumer.heard if isinstance(consumer, AnswersLate) else None
        self._progress = keeper_of(broker, backend)
        self._notes: dict[str, Note] = {}
        self._pending: list[Settlement | SealedRecord] = []
        self._loose: list[Pair] = []
        self._then: list[Then] = []
        self._writing: list[Settlement | SealedRecord] = []
        """What of them is being written down at this moment."""
        self._busy = False
        self._refused = False
        """Whether the store did not take the last notes."""
        self._wake = asyncio.Event()

    def settle(self, settlements: Sequence[Settlement], then: Then | None = None) -> None:
        """Settle in the background; ``then()`` is called on the loop when it is durable."""
        self._pending += settlements
        if then is not None:
            self._then.append(then)
        self._wake.set()

    def record(self, record: SealedRecord) -> None:
        """Store a record by itself, before whatever is settled after this call."""
        self._pending.append(record)
        self._wake.set()

    def note(self, notes: Sequence[Note]) -> None:
        """Write how far tasks are, before whatever is settled after this call. Of one task only the last is written;
        where nothing keeps progress, none is."""
        if self._progress is not None:
            self._notes.update((note.id, note) for note in notes)
            self._wake.set()

    def follow(self, follow_ups: Sequence[Pair], record: SealedRecord | None, then: Then | None = None) -> None:
        """Send and store what a delivery leaves that the broker has already forgotten; ``then`` as in ``settle``."""
        self._loose += follow_ups
        if then is not None:
            self._then.append(then)
        if record is not None:
            self._pending.append(record)
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether everything is durable."""
        return not (self._pending or self._loose or self._busy or self._notes or self._then)

    @property
    def unwritten(self) -> set[str]:
        """The ids of tasks that have ended, and of whose end the store does not know yet."""
        entries = (*self._writing, *self._pending)
        return {each.delivery.envelope.id if isinstance(each, Settlement) else each.id for each in entries}

    async def run(self) -> None:
        """The service: lives until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch = self._writing = self._pending
            self._pending = []
            then, self._then = self._then, []
            self._busy = True
            try:
                if self._notes:
                    await self._write_notes()
                if self._loose:
                    await self._send_loose()
                await self._write(batch)
                if then and self._heard is not None:
                    await self._heard()
            except StoreError as error:
                if pause == _FIRST_PAUSE:
                    logger.error("Results and settlements are kept and tried again: %s", error)
                self._pending[:0] = batch
                self._then[:0] = then
                await asyncio.sleep(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
                self._wake.set()
            else:
                if pause != _FIRST_PAUSE:
                    logger.info("The store takes results and settlements again")
                pause = _FIRST_PAUSE
                for call in then:
                    call()
            finally:
                self._busy = False
                self._writing = []

    async def _write_notes(self) -> None:
        """A store that refuses them holds nobody up: what is still true is written with the next."""
        notes, self._notes = self._notes, {}
        assert self._progress is not None
        try:
            await self._progress.write_progress(list(notes.values()))
        except StoreError as error:
            if not self._refused:
                logger.warning("The progress of tasks cannot be written, and is tried again: %s", error)
            self._refused = True
            kept = list({**notes, **self._notes}.items())
            self._notes = dict(kept[-MOST_NOTES:])
            asyncio.get_running_loop().call_later(_LONGEST_PAUSE, self._wake.set)
        else:
            self._refused = False

    async def _send_loose(self) -> None:
        loose = list(self._loose)
        try:
            await self._send(loose)
        except StoreError as error:
            if _may_have_left(error):
                self._loose[: len(loose)] = again(loose)
            raise
        del self._loose[: len(loose)]

    async def _write(self, batch: list[Settlement | SealedRecord]) -> None:
        """Leaves in ``batch`` what has not taken effect, as far as that is known."""
        records = [entry for entry in batch if isinstance(entry, SealedRecord)]
        settlements = [entry for entry in batch if isinstance(entry, Settlement)]
        if not self.whole:
            # two servers: follow-ups, then records, then the verdict, so that a crash repeats and never loses
            await self._condemn(settlements)
            await self._send_follow_ups(batch, settlements)
            records += [settlement.record for settlement in settlements if settlement.record is not None]
            settlements = [Settlement(each.delivery, each.verdict) for each in settlements]
        if records and self._backend is not None:
            await self._backend.store(records)
        if not self.whole:
            batch[:] = settlements
        if settlements:
            await self._consumer.settle(settlements)

    async def _send_follow_ups(self, batch: list[Settlement | SealedRecord], settlements: list[Settlement]) -> None:
        """Leaves them out of ``batch``, or has them in it as what may have left."""
        follow_ups = [pair for settlement in settlements for pair in settlement.follow_ups]
        if not follow_ups:
            return
        try:
            await self._send(follow_ups)
        except StoreError as error:
            if _may_have_left(error):
                _change_follow_ups(batch, again)
            raise
        _change_follow_ups(batch, lambda sent: [])

    async def _condemn(self, settlements: Sequence[Settlement]) -> None:
        """Say which messages are to be buried: whoever gets one whose end is recorded, after a crash, buries it."""
        if self._marks is None:
            return
        expires = self._clock.now() + KEPT
        marks = [
            Mark(condemned(each.record), each.verdict.reason or "", expires)
            for each in settlements
            if each.record is not None and each.verdict.kind == "dead"
        ]
        if marks:
            await self._marks.put_marks(marks)


def _change_follow_ups(batch: list[Settlement | SealedRecord], change: Callable[[Sequence[Pair]], list[Pair]]) -> None:
    batch[:] = [
        each._replace(follow_ups=change(each.follow_ups)) if isinstance(each, Settlement) else each for each in batch
    ]


def _may_have_left(error: StoreError) -> bool:
    """Whether what was being sent may be there all the same."""
    return not isinstance(error, StoreUnreachable) or error.doubtful


def again(follow_ups: Sequence[Pair]) -> list[Pair]:
    """The same, marked as what may have been sent before: whoever gets it looks it up."""
    return [(route, resent(envelope)) for route, envelope in follow_ups]


def condemned(record: SealedRecord) -> str:
    """The key of the mark that says why the message of this end is to be a dead letter."""
    return f"condemned:{record.id}:{record.life}"
