"""What becomes of a delivery whose runner died while it ran."""

from __future__ import annotations

from umbel.app import Umbel
from umbel.errors import NotRegistered
from umbel.wire import task_v2
from umbel.worker.holding import LOST, REVOKED, Certificate, Held


def verdict_on_loss(app: Umbel, held: Held, why: str, *, neighbours: bool = False, innocent: bool = False) -> None:
    """Mark ``held``: to be run again, or certified as FAILURE ``WorkerLostError``.

    Run again unless the broker has already forgotten it (early acknowledgement), the task says that it must not be
    (``reject_on_worker_lost=False``), or it has taken ``task_max_starts`` runners with it: then it is a dead
    letter too. An ``innocent`` one, whose runner was killed for another, is not counted. With ``neighbours``, nobody
    knows which of them was to blame, so one whose next start is the last that it has runs alone then.
    """
    if held.certificate is not None:
        return
    if held.cancelled:
        held.certificate = Certificate(REVOKED, "cancelled")
        return
    held.losses += not innocent
    held.delivery = held.delivery._replace(redelivered=True)
    limit: int = app.conf.task_max_starts
    if held.early:
        reason = f"the runner {why} while it ran the task, which is not run again (acks_late is off)"
        held.certificate = Certificate(LOST, reason)
    elif held.losses >= limit and not innocent:
        reason = f"the runner {why}; {held.losses} starts ended without a verdict (task_max_starts={limit})"
        held.certificate = Certificate(LOST, reason, bury=True)
    elif not _run_again(app, held):
        held.certificate = Certificate(LOST, f"the runner {why} while it ran the task (reject_on_worker_lost is off)")
    else:
        held.alone = neighbours and last_start(held, limit)


def last_start(held: Held, limit: int) -> bool:
    """Whether another start without a verdict would be the end of one that was lost before."""
    return 0 < held.losses >= limit - 1


def _run_again(app: Umbel, held: Held) -> bool:
    conf = app.conf
    chosen: bool | None = conf.task_reject_on_worker_lost
    default: bool = conf.task_acks_late if chosen is None else chosen
    name, _ = task_v2.peek(held.delivery.envelope)
    try:
        task = app.tasks[name or ""]
    except NotRegistered:
        return default
    return default if task.reject_on_worker_lost is None else task.reject_on_worker_lost
