"""One node's claim on queues of an SQLite file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from umbel.model import Delivery, Settlement
from umbel.ports import ResultBackend
from umbel.stores.sqlite.claims import Claims
from umbel.stores.sqlite.clerk import Clerk, Report, Request
from umbel.stores.sqlite.store import SqliteStore
from umbel.stores.threads import in_thread

_Call = asyncio.Future[None]


class SqliteConsumer:
    """The face of a claim on its event loop; a thread of its own does the work on the file.

    While the file refuses (full disk, lock held elsewhere) the iteration waits and goes on by itself.
    """

    def __init__(self, store: SqliteStore, queues: Sequence[str], prefetch: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._store = store
        self._claims = Claims(store, queues)
        self._clerk = Clerk(self._claims, prefetch, self._report, self._end)
        self._inbox: list[Delivery] = []
        self._news = asyncio.Event()
        self._calls: set[_Call] = set()
        self._closing = False
        self._gone = asyncio.Event()
        self._error: BaseException | None = None

    async def register(self) -> None:
        """Become a node that others can see, before anything is claimed. Raises ``StoreError``."""
        await in_thread(self._claims.register)
        self._clerk.start()

    def keeps(self, backend: ResultBackend) -> bool:
        """Whether ``backend`` is in this very file, so that a settlement writes its record too."""
        return getattr(backend, "keeper", None) is self._store

    def lifeline(self, runner: int) -> str:
        """The path of a file that the runner of this number keeps locked with ``fcntl.lockf`` for its life."""
        presence = self._claims.presence
        if presence is None:
            raise RuntimeError("a consumer that is closed has no lifelines")
        return presence.lifeline(runner)

    def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        return self

    async def __anext__(self) -> list[Delivery]:
        self._clerk.claim()
        while not self._inbox:
            if self._error is not None:
                raise self._error
            if self._closing or self._gone.is_set():
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        batch, self._inbox = self._inbox, []
        return batch

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        if not settlements or self._gone.is_set():
            return
        call: _Call = self._loop.create_future()
        self._calls.add(call)
        self._clerk.settle(Request(settlements, call))
        await call

    async def resize(self, prefetch: int) -> None:
        self._clerk.resize(prefetch)

    async def close(self) -> None:
        self._closing = True
        self._inbox = []
        self._clerk.leave()
        self._news.set()
        await self._gone.wait()

    # -- called by the clerk, in its thread

    def _report(self, report: Report) -> bool:
        return self._post(self._receive, report) if report.calls or report.deliveries else not self._loop.is_closed()

    def _end(self, error: BaseException | None) -> None:
        self._post(self._finish, error)

    def _post(self, call: object, argument: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(call, argument)  # type: ignore[arg-type]
        except RuntimeError:
            return False
        return True

    # -- the same, arrived on the loop

    def _receive(self, report: Report) -> None:
        for call, error in report.calls:
            assert isinstance(call, asyncio.Future)
            self._calls.discard(call)
            _conclude(call, error)
        if report.deliveries and not self._closing:
            self._inbox += report.deliveries
            self._news.set()

    def _finish(self, error: BaseException | None) -> None:
        self._error = error
        for call in self._calls:
            _conclude(call, error)
        self._calls.clear()
        self._gone.set()
        self._news.set()


def _conclude(call: _Call, error: BaseException | None) -> None:
    """End a call, unless its caller was cancelled meanwhile."""
    if call.done():
        return
    if error is None:
        call.set_result(None)
    else:
        call.set_exception(error)
