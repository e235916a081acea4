"""Settles what no runner can: the node writes record and dead letter itself, and runs none of the user's code."""

from __future__ import annotations

import logging

from umbel.app import Umbel
from umbel.errors import TaskRevokedError, TimeLimitExceeded, UmbelError, WorkerLostError
from umbel.model import ACK, Envelope, SealedRecord, Settlement, State, dead
from umbel.worker.holding import REVOKED, TERMINATED, TIMED_OUT, Certificate, Held
from umbel.worker.settler import Settler
from umbel.worker.settling import Settling

logger = logging.getLogger("umbel.worker")

TRIES = 2
"""So many runners may die of a certificate before the node settles it."""


class Epitaphs:
    """The last resort for a held delivery with a certificate. The node's loop owns it."""

    def __init__(self, app: Umbel, hostname: str, settling: Settling) -> None:
        self._settler = Settler(app, hostname)
        self._settling = settling

    def write(self, held: Held) -> None:
        """Record the end of ``held`` as its certificate says; handlers and error callbacks are not called."""
        certificate = held.certificate
        if certificate is None:
            return
        task_id = held.delivery.envelope.id
        logger.error("Task [%s] is settled by the node itself: %s", task_id, certificate.reason)
        record = self._record(held.delivery.envelope, certificate)
        if held.early:
            self._settling.follow((), record)
            return
        verdict = dead(certificate.reason) if certificate.bury else ACK
        self._settling.settle([Settlement(held.delivery, verdict, (), record)])

    def _record(self, envelope: Envelope, certificate: Certificate) -> SealedRecord | None:
        reason = certificate.reason
        error: UmbelError
        if certificate.kind in (REVOKED, TERMINATED):
            return self._settler.plain(envelope, TaskRevokedError(reason), State.REVOKED)
        error = TimeLimitExceeded(reason) if certificate.kind == TIMED_OUT else WorkerLostError(reason)
        return self._settler.plain(envelope, error)
