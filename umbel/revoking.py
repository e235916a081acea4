"""Takes calls back: what waits is withdrawn, what a worker holds is not started, what runs is stopped if asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from umbel import plug
from umbel.bus import ask, bus_of, tell
from umbel.errors import ConfigurationError, StoreError, StoreUnreachable, TaskRevokedError, WireError
from umbel.model import Envelope, Record, SealedRecord, State
from umbel.ports import Bus, Mark, Marks, Withdraws
from umbel.serial import PICKLED
from umbel.settings.home import sqlite_url
from umbel.wire import results, task_v2
from umbel.wire.control import Command
from umbel.wire.marking import life_of
from umbel.wire.signatures import left_out
from umbel.wiring import App

logger = logging.getLogger("umbel.revoking")

PREFIX = "revoked:"
"""A mark of this name and a task id says that the task is not to run."""

KEPT = 30 * 86400.0
"""Seconds for which a revocation is remembered: a message that comes later runs."""

PATIENCE = 2.0
"""Seconds in which one node at least must say that it has heard of a revocation."""

STATE_FILE = "state.db"
"""In ``worker_state_dir``: what the workers of this machine remember where no store does it for all."""


def revoke(app: App, task_ids: str | Iterable[str], *, terminate: bool = False, cancel: bool = False) -> None:
    """Revoke these tasks; durable when it returns, whatever is restarted afterwards.

    A task that waits, or whose time has not come, gets the state REVOKED now. One that a worker holds and has not
    started gets it when the worker hears of it, within moments; a part of a chord, when a worker gets it, not before it
    is due. One that runs is left alone, unless ``terminate``: then its process is killed with whatever it has started,
    and it is REVOKED. ``cancel`` asks it to stop by itself: ``track``, and whatever it says of its progress, raise
    ``TaskCancelled``, and it is REVOKED, too.
    One that has ended stays as it ended. An id that nobody has sent yet is remembered for 30 days. The rest of a chain
    is REVOKED with the task that it would have followed; error callbacks are not called.

    Where neither broker nor result store keeps marks, and the broker has a bus, the workers that live remember it, each
    in ``worker_state_dir``; when none answers it is kept in that folder here, with a warning. Raises
    ``ConfigurationError`` where there is neither, ``StoreError`` when broker or store cannot be reached.
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
        await _revoke(app, ids, terminate, cancel)

    way.run(work())


async def _revoke(app: App, ids: Sequence[str], terminate: bool, cancel: bool) -> None:
    kept, bus = find_marks(app), bus_of(app)
    # As Celery's clients write it; the signal is for Celery's workers.
    said = {"task_id": list(ids), "terminate": terminate, "signal": "SIGTERM"}
    command = Command("revoke", {**said, "cancel": True} if cancel else said)
    if kept is None:
        if bus is None:
            raise ConfigurationError(
                "neither the broker nor the result store keeps marks, which revoking needs: set result_backend to one "
                "that does, for example 'sqlite:///results.db'"
            )
        await _spread(app, bus, command)
        return
    # the mark first: a message that is claimed while it is withdrawn then meets a worker that knows
    await kept.put_marks(marks_for(ids, terminate, app.clock.now(), cancel=cancel))
    if bus is not None:
        try:
            await tell(app, bus, command)
        except StoreError as error:  # it is durable, and umbel's workers read the marks
            logger.warning("Only workers that share the store hear of what is revoked now: %s", error)
    await _withdraw(app, ids)


def marks_for(ids: Iterable[str], terminate: bool, now: float, *, cancel: bool = False) -> list[Mark]:
    """The marks by which workers know that these tasks are revoked since the unix time ``now``."""
    return [mark_for(task_id, terminate, now + KEPT, cancel=cancel) for task_id in ids]


def mark_for(task_id: str, terminate: bool, expires: float, *, cancel: bool = False) -> Mark:
    """The mark that says so until the unix time ``expires``."""
    said = {"terminate": terminate, "cancel": True} if cancel else {"terminate": terminate}
    return Mark(PREFIX + task_id, json.dumps(said), expires)


async def _spread(app: App, bus: Bus, command: Command) -> None:
    """Return when a node has it for good, or this machine."""
    answers = await ask(app, bus, command, timeout=PATIENCE, limit=1)
    if any(isinstance(answer, dict) and "ok" in answer for answer in answers.values()):
        return
    place = state_url(app.conf)
    try:
        async with marks_at(place, app.conf) as here:
            said = command.arguments
            now, cancel = app.clock.now(), bool(said.get("cancel"))
            await here.put_marks(marks_for(said["task_id"], said["terminate"], now, cancel=cancel))
    except (StoreError, ConfigurationError) as error:
        raise StoreUnreachable(
            f"no worker has heard that the tasks are revoked, nor can it be kept: {error}"
        ) from error
    logger.warning("No worker answers: only those that are started here will know what is revoked (%s)", place)


async def _withdraw(app: App, ids: Sequence[str]) -> None:
    broker = app.broker
    if not isinstance(broker, Withdraws):
        return
    records = await broker.withdraw(ids, _ends(app))
    if records and app.result_url not in (None, app.conf.broker_url):
        await app.backend.store(records)


def _ends(app: App) -> Callable[[Envelope], list[SealedRecord] | None]:
    """What gives REVOKED for a message and the rest of its chain, as far as that can be read, at this moment; None for
    a part of a chord, of whose end a worker can tell the others."""
    conf, now = app.conf, app.clock.now()
    expires = now + conf.result_expires if conf.result_expires else None
    done = datetime.fromtimestamp(now, app.timezone)
    error = TaskRevokedError("revoked")
    accept = app.accept_content - {PICKLED}

    def sealed(envelope: Envelope, **more: Any) -> SealedRecord:
        record = Record(state=State.REVOKED, value=error, date_done=done, life=life_of(envelope), **more)
        return results.seal(record, serializer=conf.result_serializer, extended=conf.result_extended, expires=expires)

    def records_of(envelope: Envelope) -> list[SealedRecord] | None:
        records = [sealed(envelope, id=envelope.id)]
        try:
            message = task_v2.decode(
                envelope, accept=accept, max_size=conf.task_message_max_size, protection=app.protection, fresh=False
            )
        except WireError:
            return records
        rest, in_chord = left_out(message)
        for each in rest:
            waits = {"id": each.id, "name": each.task, "reply_to": each.reply_to}
            records.append(sealed(envelope, parent_id=message.id, **waits))
        return None if in_chord else records

    return records_of


def find_marks(app: App) -> Marks | None:
    """Where this app keeps marks for all: the broker's store, else the result store, else nowhere."""
    if isinstance(app.broker, Marks):
        return app.broker
    if app.result_url is not None and isinstance(app.backend, Marks):
        return app.backend
    return None


def state_url(conf: Mapping[str, Any], folder: str | None = None) -> str:
    """Where the workers of this machine keep marks: the file in ``folder``, else in ``worker_state_dir``."""
    chosen = Path(folder or conf["worker_state_dir"]).expanduser()
    return sqlite_url(chosen.absolute() / STATE_FILE)


def marks_at(url: str, conf: Mapping[str, Any]) -> Any:
    """A store of that URL, to be entered, that is used for its marks alone."""
    return plug.backend_class(url)(url, conf)
