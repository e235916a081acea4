"""The caller's view of a task that was sent: its state, its value, waiting for it."""

from __future__ import annotations

import builtins
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from umbel import current
from umbel.errors import NoResultBackend, StoreError, TaskFailed, TimeoutError, UmbelError
from umbel.model import EXCEPTION_STATES, FINAL_STATES, Record, SealedRecord, State
from umbel.ports import ResultBackend
from umbel.publisher import on_a_loop
from umbel.revoking import revoke
from umbel.shortcuts import WaitsDirectly
from umbel.wire import results
from umbel.wiring import App, Rehearsal

if TYPE_CHECKING:
    from umbel.bridge import Way
    from umbel.progress.snapshot import Snapshot

R = TypeVar("R", covariant=True)
T = TypeVar("T")

Question = Callable[[ResultBackend], Coroutine[Any, Any, T]]
"""What is asked of a result store."""


class AsyncResult(Generic[R]):
    """What is known of the task ``id``. Holds no connection; cheap to make, safe to share between threads.

    Every question asks the result store, until the answer is final; then it is remembered.
    """

    def __init__(self, id: str, app: App | None = None, *, ignored: bool = False) -> None:
        if not isinstance(id, str) or not id:
            raise UmbelError(f"a task id is a text that is not empty, not {id!r}")
        self.id = id
        self.app: App = app if app is not None else current.app()
        self._ignored = ignored
        self._final: Record | None = None

    def __repr__(self) -> str:
        return f"<AsyncResult: {self.id}>"

    def __str__(self) -> str:
        return self.id

    def __eq__(self, other: object) -> bool:
        return other.id == self.id if isinstance(other, AsyncResult) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)

    def __reduce__(self) -> tuple[Any, ...]:
        return AsyncResult, (self.id,)

    @property
    def task_id(self) -> str:
        """The same as ``id``."""
        return self.id

    @property
    def state(self) -> str:
        """PENDING while nothing is known (also of an id that never was), then what the worker stored."""
        record = self._record()
        return State.PENDING if record is None else _named(record.state)

    @property
    def status(self) -> str:
        """The same as ``state``."""
        return self.state

    def ready(self) -> bool:
        """Whether the task has ended: SUCCESS, FAILURE or REVOKED."""
        return self.state in FINAL_STATES

    def successful(self) -> bool:
        """Whether the task has ended well."""
        return self.state == State.SUCCESS

    def failed(self) -> bool:
        """Whether the task has ended in an exception."""
        return self.state == State.FAILURE

    @property
    def result(self) -> Any:
        """The return value, the exception (not raised), a custom state's meta, or None."""
        record = self._record()
        return None if record is None else record.value

    @property
    def info(self) -> Any:
        """The same as ``result``."""
        return self.result

    @property
    def traceback(self) -> str | None:
        """The traceback's text when the task failed."""
        record = self._record()
        return None if record is None else record.traceback

    @property
    def date_done(self) -> datetime | None:
        """When the task ended."""
        record = self._record()
        return None if record is None else record.date_done

    @property
    def name(self) -> str | None:
        """The task's name, known once something is stored and ``result_extended`` is on."""
        record = self._record()
        return None if record is None else record.name

    @property
    def worker(self) -> str | None:
        """Which worker stored the record."""
        record = self._record()
        return None if record is None else record.worker

    @property
    def retries(self) -> int | None:
        """How often it was tried again."""
        record = self._record()
        return None if record is None else record.retries

    @property
    def queue(self) -> str | None:
        """The queue it came from."""
        record = self._record()
        return None if record is None else record.queue

    @property
    def args(self) -> Any:
        """The positional arguments, where they are known: as ``name``."""
        record = self._record()
        return None if record is None else record.args

    @property
    def kwargs(self) -> Any:
        """The keyword arguments, where they are known: as ``name``."""
        record = self._record()
        return None if record is None else record.kwargs

    @property
    def children(self) -> list[AsyncResult[Any]]:
        """The tasks that this one sent while it ran, known at its end; none with ``trail=False``.

        Those whose results are not kept are left out. Raises ``DecodeError`` for what no task queue wrote.
        """
        record = self._record()
        return [] if record is None else [AsyncResult(id, self.app) for id in results.child_ids(record.children)]

    def collect(self, timeout: float | None = None, propagate: bool = True) -> Iterator[tuple[AsyncResult[Any], Any]]:
        """This result with its value, then those of ``children``, of theirs, and so on: each once it has ended.

        Waits and raises as ``get``; ``timeout`` is for each of them.
        """
        pending: deque[AsyncResult[Any]] = deque([self])
        while pending:
            result = pending.popleft()
            yield result, result.get(timeout, propagate)
            pending.extend(result.children)

    def record(self) -> Record | None:
        """All that is known now, read at once, so that its parts belong together; None when nothing is."""
        return self._record()

    def exists(self) -> bool:
        """Whether the store knows anything of this id. A task that waits and one that never was are both unknown."""
        return self._record() is not None

    def get(self, timeout: float | None = None, propagate: bool = True) -> R:
        """Wait for the end and give the return value; raise the task's exception when it failed.

        ``timeout`` is in seconds, None waits for ever; ``propagate=False`` gives the exception instead of raising it.
        A notification wakes the wait, and the store is read again every now and then, so that a lost notification
        costs time and never hangs.

        Raises ``TimeoutError`` (the task goes on), ``NoResultBackend`` when nothing is kept of this task,
        ``InvalidModel`` for a result that is not the pydantic model which its task's annotation names here,
        ``UmbelError`` inside a running event loop or a running task: waiting there would hold up the work waited for.
        """
        refuse_to_wait("get()")
        if on_a_loop():
            raise UmbelError(
                "get() on a running event loop would stop the loop: use `await result`, or `await result.aget(timeout)`"
            )
        if self._final is None:
            if (rehearsal := self._rehearsal()) is not None:
                rehearsal.until_done((self.id,))
            try:
                self._final = self._awaited(timeout)
            except TimeoutError:
                raise TimeoutError(f"no result of {self.id} within {timeout} s (state {self.state})") from None
        return self._answer(self._final, propagate)

    def __await__(self) -> Generator[Any, None, R]:
        """``await result``: as ``aget()``."""
        return self.aget().__await__()

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> R:
        """As ``get``, for coroutines, as often as wanted. Cancelling the wait does nothing to the task."""
        refuse_to_wait("await result")
        if self._final is None:
            if (rehearsal := self._rehearsal()) is not None:
                await rehearsal.auntil_done((self.id,))
            try:
                self._final = await self._cross(self._end, timeout)
            except TimeoutError:
                state = await self.astate()
                raise TimeoutError(f"no result of {self.id} within {timeout} s (state {state})") from None
        return self._answer(self._final, propagate)

    async def astate(self) -> str:
        """As ``state``. A final answer is remembered: every property answers without the store from then on."""
        record = await self.arecord()
        return State.PENDING if record is None else _named(record.state)

    async def arecord(self) -> Record | None:
        """As ``record()``: state, value, traceback and the rest at once, for a page that shows them."""
        return self._final or self._known(await self._cross(self._load))

    async def arevoke(self, *, terminate: bool = False) -> None:
        """As ``revoke``."""
        from umbel import bridge

        await bridge.aside(lambda: self.revoke(terminate=terminate))

    def _answer(self, record: Record, propagate: bool) -> R:
        if record.state in EXCEPTION_STATES and propagate:
            _raise(self.id, record)
        value = self.app.whole(record.name, record.value) if record.state == State.SUCCESS else record.value
        return cast("R", value)

    @property
    def progress(self) -> Snapshot:
        """How the task stands now: ``umbel.progress.Snapshot``. Known without a result store, too."""
        from umbel.progress.hub import hub_of

        return hub_of(self.app).now([self.id])[self.id]

    async def aprogress(self) -> Snapshot:
        """As ``progress``."""
        from umbel import bridge
        from umbel.progress.hub import hub_of

        return (await bridge.get().cross(hub_of(self.app).read([self.id])))[self.id]

    def watch(self) -> AsyncIterator[Snapshot]:
        """How the task stands, for ``async for``: now, and at every change until it has ended.

        Of several changes at once the last is given. A store that is away is asked again until it answers.
        """
        from umbel.progress.hub import watch

        return watch(self.app, self.id)

    def follow(self, timeout: float | None = None, propagate: bool = True) -> R:
        """As ``get``, and meanwhile standard error shows how the task stands: a bar on a terminal, else lines."""
        from umbel.progress.telling import follow

        refuse_to_wait("follow()")
        if on_a_loop():
            raise UmbelError(
                "follow() on a running event loop would stop the loop: use `async for … in result.watch()`"
            )
        try:
            follow(self, timeout)
        except builtins.TimeoutError:
            raise TimeoutError(f"no result of {self.id} within {timeout} s (state {self.state})") from None
        return self.get(timeout, propagate)

    def cancel(self) -> None:
        """Take the call back, and ask the task to stop at its next step if it runs: ``umbel.revoking.revoke``."""
        revoke(self.app, self.id, cancel=True)

    async def acancel(self) -> None:
        """As ``cancel``."""
        from umbel import bridge

        await bridge.aside(self.cancel)

    def revoke(self, *, terminate: bool = False) -> None:
        """Take the call back; ``terminate=True`` stops it, too, if it runs. See ``umbel.revoking.revoke``."""
        revoke(self.app, self.id, terminate=terminate)

    def forget(self) -> None:
        """Drop what the store keeps of this task. A task that has not ended will still store its result."""
        self._run(lambda store: store.forget([self.id]))
        self._final = None

    async def _end(self, backend: ResultBackend) -> Record:
        async for sealed in backend.watch([self.id]):
            if sealed.final:
                return results.unseal(sealed, self.app.result_content)
        raise StoreError(f"the result store stopped answering about {self.id}; ask again")

    def _awaited(self, timeout: float | None) -> Record:
        from umbel import bridge

        way, backend = bridge.get(), self._backend()
        if isinstance(backend, WaitsDirectly) and (loop := way.passable(backend)) is not None:
            began = monotonic()
            sealed = backend.end_of(loop, self.id, timeout)
            if sealed is not None:
                return results.unseal(sealed, self.app.result_content)
            if timeout is not None:
                timeout = max(0.0, timeout - (monotonic() - began))
        return way.run(asked(way, backend, self._end), timeout)

    async def _load(self, backend: ResultBackend) -> SealedRecord | None:
        return (await backend.load([self.id])).get(self.id)

    def _record(self) -> Record | None:
        return self._final or self._known(self._run(self._load))

    def _known(self, sealed: SealedRecord | None) -> Record | None:
        if sealed is None:
            return None
        record = results.unseal(sealed, self.app.result_content)
        if sealed.final:
            self._final = record
        return record

    def _run(self, ask: Question[T], timeout: float | None = None) -> T:
        from umbel import bridge

        way = bridge.get()
        return way.run(asked(way, self._backend(), ask), timeout)

    async def _cross(self, ask: Question[T], timeout: float | None = None) -> T:
        from umbel import bridge

        way = bridge.get()
        return await way.cross(asked(way, self._backend(), ask), timeout)

    def _rehearsal(self) -> Rehearsal | None:
        """Who runs the task where no worker does; raises as ``_backend``."""
        self._backend()
        return self.app.rehearsal

    def _backend(self) -> ResultBackend:
        if self._ignored:
            raise NoResultBackend(
                f"the result of {self.id} is not kept: it was sent with ignore_result=True "
                "(set by the call, by @app.task, or by task_ignore_result)"
            )
        return self.app.backend


def refuse_to_wait(how: str) -> None:
    """Raise ``UmbelError`` inside a running task."""
    attempt = current.request.get()
    if attempt is not None and attempt.id is not None:
        raise UmbelError(
            f"{how} inside the task {attempt.task} would hold a worker slot while it waits for another task: "
            "let that task store what is needed, or split this one"
        )


async def asked(way: Way, backend: ResultBackend, ask: Question[T]) -> T:
    """The answer of ``backend``, entered on ``way`` if it was not."""
    await way.entered(backend)
    return await ask(backend)


def _raise(id: str, record: Record) -> NoReturn:
    error = record.value
    if isinstance(error, Exception):
        raise error
    if isinstance(error, BaseException):
        raise TaskFailed(f"{id} ended in {error!r}") from error
    raise TaskFailed(f"{id} ended in state {record.state}: {error!r}")


def _named(state: str) -> str:
    try:
        return State(state)
    except ValueError:
        return state
