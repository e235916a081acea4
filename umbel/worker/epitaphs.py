"""Settles what no runner can: the node writes record and dead letter itself, and calls none of the user's tasks."""

from __future__ import annotations

import logging

from umbel.app import Umbel
from umbel.attempt import drive
from umbel.declared import Declared
from umbel.errors import NotRegistered, TaskRevokedError, TimeLimitExceeded, UmbelError, WireError, WorkerLostError
from umbel.model import ACK, NO_LINKS, REQUEUE, Failed, Message, Outcome, Revoked, Settlement, State, dead
from umbel.request import Request
from umbel.serial import PICKLED
from umbel.wire import task_v2
from umbel.worker.following import Following
from umbel.worker.holding import REVOKED, TERMINATED, TIMED_OUT, TRIES, Certificate, Held
from umbel.worker.settler import NOTHING, Sequel, Settler
from umbel.worker.settling import Settling

logger = logging.getLogger("umbel.worker")


class Epitaphs:
    """The last resort for a held delivery with a certificate. The node's loop owns it."""

    def __init__(self, app: Umbel, hostname: str, settling: Settling) -> None:
        self._app = app
        self._hostname = hostname
        self._settling = settling
        self._settler = Settler(app, hostname)
        self._following = Following(app, self._settler, None, settling.record)
        self._accept = app.accept_content - {PICKLED}

    def write(self, held: Held) -> None:
        """Record the end of ``held`` as its certificate says, and have happen what follows it.

        No handler is called, nor an error callback that takes the exception. Of a message that has killed runners which
        were only to settle it, nothing is looked at; nor is a body whose reading runs code of its own.
        """
        certificate, delivery = held.certificate, held.delivery
        if certificate is None:
            return
        known = self._read(held) if held.certified < TRIES else None
        if known is not None and certificate.kind == TIMED_OUT and not self._settler.acks_failures(known[0]):
            self._settling.settle([Settlement(delivery, REQUEUE)])
            return
        logger.error("Task [%s] is settled by the node itself: %s", delivery.envelope.id, certificate.reason)
        state, error = _end(certificate)
        sequel = NOTHING if known is None else self._sequel(held, *known, state, error)
        record = self._settler.plain(delivery.envelope, error, state)
        if held.early:
            self._settling.follow(sequel.follow_ups, record)
            return
        reason = certificate.reason if certificate.bury else sequel.bury
        verdict = ACK if reason is None else dead(reason)
        self._settling.settle([Settlement(delivery, verdict, sequel.follow_ups, record)])

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

    def _sequel(self, held: Held, task: Declared, message: Message, state: State, error: UmbelError) -> Sequel:
        if message.links is NO_LINKS:
            return NOTHING
        request = Request(message, held.delivery, hostname=self._hostname)
        outcome: Outcome = Revoked(str(error)) if state is State.REVOKED else Failed(error)
        try:
            return drive(self._following.after(task, request, message, outcome))[1]
        except Exception:
            logger.exception("What follows %s[%s] is not sent", message.task, message.id)
            return NOTHING


def _end(certificate: Certificate) -> tuple[State, UmbelError]:
    """The state and the error of which the certificate speaks."""
    reason = certificate.reason
    if certificate.kind in (REVOKED, TERMINATED):
        return State.REVOKED, TaskRevokedError(reason)
    return State.FAILURE, TimeLimitExceeded(reason) if certificate.kind == TIMED_OUT else WorkerLostError(reason)
