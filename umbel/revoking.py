"""Takes calls back: what waits is withdrawn, what a worker holds is not started, what runs is stopped if asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from umbel.errors import ConfigurationError, TaskRevokedError
from umbel.model import Envelope, Record, SealedRecord, State
from umbel.ports import Mark, Marks, Withdraws
from umbel.wire import results
from umbel.wire.marking import life_of
from umbel.wiring import App

PREFIX = "revoked:"
"""A mark of this name and a task id says that the task is not to run."""

KEPT = 30 * 86400.0
"""Seconds for which a revocation is remembered: a message that comes later runs."""


def revoke(app: App, task_ids: str | Iterable[str], *, terminate: bool = False) -> None:
    """Revoke these tasks; durable when it returns, whatever is restarted afterwards.

    A task that waits, or whose time has not come, gets the state REVOKED now. One that a worker holds and has not
    started gets it when the worker hears of it, within moments. One that runs is left alone, unless ``terminate``: then
    its process is killed with whatever it has started, and it is REVOKED. One that has ended stays as it ended. An
    id that nobody has sent yet is remembered for 30 days.

    Raises ``ConfigurationError`` when the broker and the result store keep no marks, ``StoreError`` when the store
    cannot be reached.
    """
    from umbel import bridge

    ids = [task_ids] if isinstance(task_ids, str) else list(task_ids)
    for task_id in ids:
        if not isinstance(task_id, str) or not task_id:
            raise ConfigurationError(f"revoke takes task ids, not {task_id!r}")
    way = bridge.get()

    async def work() -> None:
        await way.entered(app.broker)
        if app.result_url is not None:
            await way.entered(app.backend)
        await _revoke(app, ids, terminate)

    way.run(work())


async def _revoke(app: App, ids: Sequence[str], terminate: bool) -> None:
    now = app.clock.now()
    value = json.dumps({"terminate": terminate})
    # the mark first: a message that is claimed while it is withdrawn then meets a worker that knows
    await marks_of(app).put_marks([Mark(PREFIX + task_id, value, now + KEPT) for task_id in ids])
    broker = app.broker
    if isinstance(broker, Withdraws):
        conf = app.conf
        expires = now + conf.result_expires if conf.result_expires else None
        done = datetime.fromtimestamp(now, app.timezone)
        error = TaskRevokedError("revoked")
        serializer, extended = conf.result_serializer, conf.result_extended

        def record_of(envelope: Envelope) -> SealedRecord:
            return results.seal(
                Record(id=envelope.id, state=State.REVOKED, value=error, date_done=done, life=life_of(envelope)),
                serializer=serializer,
                extended=extended,
                expires=expires,
            )

        records = await broker.withdraw(ids, record_of)
        if records and app.result_url not in (None, conf.broker_url):
            await app.backend.store(records)


def marks_of(app: App) -> Marks:
    """Where this app keeps marks: the broker's store, else the result store. Raises ``ConfigurationError``."""
    if isinstance(app.broker, Marks):
        return app.broker
    if app.result_url is not None and isinstance(app.backend, Marks):
        return app.backend
    raise ConfigurationError(
        "neither the broker nor the result store keeps marks, which revoking needs: set result_backend to one that "
        "does, for example 'sqlite:///results.db'"
    )
