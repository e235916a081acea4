"""Settles what no runner can: the node writes record and dead letter itself, and calls none of the user's tasks."""

from __future__ import annotations

import asyncio
import logging

from umbel.app import Umbel
from umbel.attempt import drive
from umbel.declared import Declared
from umbel.errors import (
    ChordError,
    NotRegistered,
    TaskRevokedError,
    TimeLimitExceeded,
    UmbelError,
    WireError,
    WorkerLostError,
)
from umbel.model import ACK, NO_LINKS, REQUEUE, Failed, Message, Outcome, Revoked, Settlement, State, dead
from umbel.request import Request
from umbel.serial import PICKLED
from umbel.wire import signatures, task_v2
from umbel.wire.chords import membership
from umbel.worker.bodies import Bodies
from umbel.worker.following import Following
from umbel.worker.holding import JOINED, REVOKED, TERMINATED, TIMED_OUT, TRIES, Certificate, Held
from umbel.worker.joining import Counting
from umbel.worker.settler import NOTHING, Sequel, Settler
from umbel.worker.settling import Settling, Then

logger = logging.getLogger("umbel.worker")


class Epitaphs:
    """The last resort for a held delivery with a certificate. The node's loop owns it."""

    def __init__(self, app: Umbel, hostname: str, settling: Settling) -> None:
        self._app = app
        self._hostname = hostname
        self._settling = settling
        self._settler = Settler(app, hostname)
        self._counting = Counting(app)
        self._following = Following(app, self._settler, None, settling.record, self._counting)
        self._accept = app.accept_content - {PICKLED}
        self.bodies: Bodies | None = None
        """Sends the bodies of chords that are joined here; the node sets it where a store can join parts."""
        self._telling: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether everything that was to be written is handed over to be settled."""
        return not self._telling

    def write(self, held: Held, then: Then | None = None) -> None:
        """Record the end of ``held`` as its certificate says, and have happen what follows it; ``then()`` is called on
        the loop when that is durable.

        No handler is called, nor an error callback that takes the exception. Of a message that has killed runners which
        were only to settle it, nothing is looked at but its head; nor is a body whose reading runs code of its own.
        Where a chord waits for it, it is settled when the store has counted it, and a runner sends the body.
        """
        certificate, delivery = held.certificate, held.delivery
        if certificate is None or (certificate.kind == JOINED and held.certified < TRIES):
            return  # the body that is still to be sent stands where others find it
        known = self._read(held) if held.certified < TRIES or certificate.kind == JOINED else None
        if known is not None and certificate.kind == TIMED_OUT and not self._settler.acks_failures(known[0]):
            self._settling.settle([Settlement(delivery, REQUEUE)], then)
            return
        logger.error("Task [%s] is settled by the node itself: %s", delivery.envelope.id, certificate.reason)
        ending = self._settle(held, certificate, known, then)
        if self._in_chord(held, known):
            task = asyncio.get_running_loop().create_task(ending)
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)
        else:
            drive(ending)

    async def _settle(
        self, held: Held, certificate: Certificate, known: tuple[Declared, Message] | None, then: Then | None
    ) -> None:
        if certificate.kind == JOINED:
            await self._give_up(held, known)
            self._settling.settle([], then)
            return
        state, error = _end(certificate)
        sequel = await (self._unread(held, error) if known is None else self._sequel(held, *known, state, error))
        record = self._settler.plain(held.delivery.envelope, error, state)
        if self.bodies is not None:
            self.bodies.look()
        if held.early:
            self._settling.follow(sequel.follow_ups, record, then)
            return
        reason = certificate.reason if certificate.bury else sequel.bury
        verdict = ACK if reason is None else dead(reason)
        self._settling.settle([Settlement(held.delivery, verdict, sequel.follow_ups, record)], then)

    def _read(self, held: Held) -> tuple[Declared, Message] | None:
        """The message and its task, as far as they can be had here."""
        envelope = held.delivery.envelope
        try:
            message = task_v2.decode(
                envelope,
                accept=self._accept,
                max_size=self._app.conf.task_message_max_size,
                protection=self._app.protection,
                fresh=False,
            )
            return self._app.tasks[message.task], message
        except (WireError, NotRegistered) as error:
            logger.error("What follows task [%s] is not known here: %s", envelope.id, error)
            return None

    def _in_chord(self, held: Held, known: tuple[Declared, Message] | None) -> bool:
        """Whether a chord may wait for it, and be told."""
        if not self._counting.possible:
            return False
        if known is None:
            return membership(held.delivery.envelope) is not None
        return known[1].links is not NO_LINKS and bool(signatures.left_out(known[1])[1])

    async def _unread(self, held: Held, error: UmbelError) -> Sequel:
        """Of what nobody looks at, the head may tell that a chord waits for it."""
        part = self._counting.unread_part_of(held.delivery.envelope, error) if self._counting.possible else None
        if part is not None:
            try:
                await self._counting.count(part, held.delivery.queue)
            except UmbelError as wrong:
                logger.error("The chord of [%s] is not told of its end: %s", part.id, wrong)
        return NOTHING

    async def _give_up(self, held: Held, known: tuple[Declared, Message] | None) -> None:
        """The body of a chord takes down whoever is to send it: it fails."""
        delivery, bodies = held.delivery, self.bodies
        member = membership(delivery.envelope)
        if known is not None:
            body = signatures.body_left_out(known[1])
            request = Request(body, delivery, hostname=self._hostname)
            error = ChordError(f"it is not sent: {TRIES} processes ended while they were about to")
            await self._following.leave_out(request, body, error)
        if member is not None and bodies is not None:
            self._settling.follow((), None, bodies.leaving(delivery.queue, [member[1]]))

    async def _sequel(self, held: Held, task: Declared, message: Message, state: State, error: UmbelError) -> Sequel:
        if message.links is NO_LINKS:
            return NOTHING
        request = Request(message, held.delivery, hostname=self._hostname)
        outcome: Outcome = Revoked(str(error)) if state is State.REVOKED else Failed(error)
        try:
            return (await self._following.after(task, request, message, outcome))[1]
        except Exception:
            logger.exception("What follows %s[%s] is not sent", message.task, message.id)
            return NOTHING


def _end(certificate: Certificate) -> tuple[State, UmbelError]:
    """The state and the error of which the certificate speaks."""
    reason = certificate.reason
    if certificate.kind in (REVOKED, TERMINATED):
        return State.REVOKED, TaskRevokedError(reason)
    return State.FAILURE, TimeLimitExceeded(reason) if certificate.kind == TIMED_OUT else WorkerLostError(reason)
