"""What a running task says of itself: custom states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from umbel import current
from umbel.declared import Declared
from umbel.errors import UmbelError
from umbel.model import FINAL_STATES, Record, SealedRecord, State
from umbel.wire import results
from umbel.wire.marks import LIFE
from umbel.wiring import App


def report(task: Declared, task_id: str | None, state: str | None, meta: Mapping[str, Any] | None) -> None:
    """Store ``state`` and ``meta`` under ``task_id``.

    Inside a worker it is handed over and stored in the background, always before the task's end; elsewhere it is
    stored when this returns. Raises ``UmbelError`` without a task id or with a final state, ``EncodeError`` for a
    meta that cannot be written.
    """
    if task_id is None:
        raise UmbelError("update_state outside of a running task needs task_id=")
    if not state or state in FINAL_STATES or state == State.PENDING:
        raise UmbelError(f"update_state takes a state that is not final, not {state!r}: only a worker sets that")
    app = task.app
    request = task.request
    own = request.id == task_id
    sealed = _seal(
        app,
        Record(
            id=task_id,
            state=state,
            value=dict(meta) if meta is not None else None,
            name=task.name if own else None,
            worker=request.hostname,
            retries=request.retries if own else None,
            parent_id=request.parent_id if own else None,
            life=request.message.marks.get(LIFE, 0) if own and request.message is not None else 0,
        ),
    )
    if current.recorder is not None:
        current.recorder(sealed)
    else:
        _store(app, sealed)


def _seal(app: App, record: Record) -> SealedRecord:
    """``record`` as bytes, the way this app's settings have it. Raises ``EncodeError``."""
    conf = app.conf
    seconds = conf.result_expires
    return results.seal(
        record,
        serializer=conf.result_serializer,
        extended=conf.result_extended,
        expires=app.clock.now() + seconds if seconds else None,
    )


def _store(app: App, sealed: SealedRecord) -> None:
    from umbel import bridge

    backend = app.backend
    way = bridge.get()

    async def store() -> None:
        await way.entered(backend)
        await backend.store([sealed])

    way.run(store())
