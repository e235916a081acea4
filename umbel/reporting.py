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
    stored when this returns. Of a task that runs in its caller nothing is, unless ``task_store_eager_result`` is on.
    Raises ``UmbelError`` without a task id or with a final state, ``EncodeError`` for a meta that cannot be written.
    """
    if task_id is None:
        raise UmbelError("update_state outside of a running task needs task_id=")
    if not state or state in FINAL_STATES or state == State.PENDING:
        raise UmbelError(f"update_state takes a state that is not final, not {state!r}: only a worker sets that")
    app = task.app
    request = task.request
    own = request.id == task_id
    sealed = sealed_for(
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
            reply_to=request.message.reply_to if own and request.message is not None else "",
        ),
    )
    if own and request.is_eager and not app.conf.task_store_eager_result:
        return
    if current.recorder is not None:
        current.recorder(sealed)
    else:
        store_now(app, sealed)


def sealed_for(app: App, record: Record) -> SealedRecord:
    """``record`` as bytes, the way this app's settings have it. Raises ``EncodeError``."""
    conf = app.conf
    seconds = conf.result_expires
    return results.seal(
        record,
        serializer=conf.result_serializer,
        extended=conf.result_extended,
        expires=app.clock.now() + seconds if seconds else None,
    )


def store_now(app: App, sealed: SealedRecord) -> None:
    """Store it before this returns. Raises ``NoResultBackend`` and ``StoreError``."""
    from umbel import bridge

    backend = app.backend
    way = bridge.get()

    async def store() -> None:
        await way.entered(backend)
        await backend.store([sealed])

    way.run(store())
