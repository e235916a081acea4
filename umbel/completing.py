"""Waits for many results at once, and gives each as its task ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from time import monotonic
from typing import Generic, TypeVar

from umbel.errors import StoreError, TimeoutError, UmbelError
from umbel.model import SealedRecord
from umbel.ports import ResultBackend
from umbel.publisher import on_a_loop
from umbel.result import AsyncResult, asked, refuse_to_wait
from umbel.wiring import App

R = TypeVar("R", covariant=True)


class Completed(Generic[R]):
    """Results in the order in which their tasks end; ``get()`` on one that was given answers at once.

    For ``for`` and for ``async for``, each time anew. One that is named twice is given once. Making it raises
    ``NoResultBackend`` when nothing is kept of one of them; a step raises ``TimeoutError`` when the time is over (the
    tasks go on), ``UmbelError`` inside a running task, or with ``for`` on a running event loop.
    """

    def __init__(self, app: App, results: Iterable[str | AsyncResult[R]], timeout: float | None) -> None:
        self._app = app
        self._timeout = timeout
        each = [AsyncResult[R](result, app) if isinstance(result, str) else result for result in results]
        for result in each:
            result._backend()
        self._results = {result.id: result for result in each}

    def __iter__(self) -> Iterator[AsyncResult[R]]:
        from umbel import bridge

        refuse_to_wait("as_completed()")
        if on_a_loop():
            raise UmbelError("`for` would stop the event loop that runs here: use `async for`")
        wait = _Wait(self._results, self._timeout)
        yield from wait.ended()
        while wait.pending:
            if self._app.rehearsal is not None:
                self._app.rehearsal.until_done(tuple(wait.pending))
            way = bridge.get()
            try:
                sealed = way.run(asked(way, self._app.backend, wait.some), wait.left)
            except TimeoutError:
                raise wait.late() from None
            yield from wait.take(sealed)

    async def __aiter__(self) -> AsyncIterator[AsyncResult[R]]:
        from umbel import bridge

        refuse_to_wait("as_completed()")
        wait = _Wait(self._results, self._timeout)
        for result in wait.ended():
            yield result
        while wait.pending:
            if self._app.rehearsal is not None:
                await self._app.rehearsal.auntil_done(tuple(wait.pending))
            way = bridge.get()
            try:
                sealed = await way.cross(asked(way, self._app.backend, wait.some), wait.left)
            except TimeoutError:
                raise wait.late() from None
            for result in wait.take(sealed):
                yield result


class _Wait(Generic[R]):
    """One iteration: what has not ended yet, and until when that is waited for."""

    def __init__(self, results: dict[str, AsyncResult[R]], timeout: float | None) -> None:
        self.pending = dict(results)
        self._timeout = timeout
        self._deadline = None if timeout is None else monotonic() + timeout

    def ended(self) -> Sequence[AsyncResult[R]]:
        """Those that are known to have ended, without asking the store."""
        return [self.pending.pop(id) for id, result in tuple(self.pending.items()) if result._final is not None]

    @property
    def left(self) -> float | None:
        """Seconds for the next step."""
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())

    async def some(self, backend: ResultBackend) -> Sequence[SealedRecord]:
        """The final records of those that have ended by now, or of the next one that does."""
        ids = tuple(self.pending)
        ended = [sealed for sealed in (await backend.load(ids)).values() if sealed.final]
        if ended:
            return ended
        async for sealed in backend.watch(ids):
            if sealed.final:
                return [sealed]
        raise StoreError(f"the result store stopped answering about {len(ids)} results; ask again")

    def take(self, records: Sequence[SealedRecord]) -> Iterator[AsyncResult[R]]:
        """Their results, which remember how they ended."""
        for sealed in records:
            result = self.pending.pop(sealed.id)
            result._known(sealed)
            yield result

    def late(self) -> TimeoutError:
        """The error of a step that took too long."""
        return TimeoutError(f"{len(self.pending)} of the results were not there within {self._timeout} s")
