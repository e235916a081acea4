"""Serves messages from a memory store to the program that published them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from umbel.model import Delivery, Envelope, Queue, Route, SealedRecord, Settlement
from umbel.ports import Bus, DeadLetter, QueueSize, ResultBackend
from umbel.stores.declaring import declared
from umbel.stores.memory import Holder, MemoryStore, name_of
from umbel.stores.memory_marks import OffersMarks
from umbel.stores.memory_progress import OffersProgress

if TYPE_CHECKING:
    from umbel.stores.bells import LoopBell

LONGEST_NAP = 1.0
"""Seconds after which a consumer that waits for a due time reads the clock again, as it may have been set."""


class MemoryBroker(OffersMarks, OffersProgress):
    """Messages of one process, by the name in ``memory://name``; they end with it."""

    form = "plain"

    def __init__(self, url: str, settings: Any = None) -> None:
        self.keeper = MemoryStore.named(name_of(url), settings)
        self.bus: Bus = self.keeper.bus
        self.publish_now = self.keeper.publish
        """As ``publish``, from any thread, inside or outside the context manager."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def declare(self, queue: Queue) -> None:
        """Queues need no making here."""
        declared(queue)

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        self.keeper.publish(messages)

    def close_now(self) -> None:
        """There is nothing to close; the messages stay."""

    async def consume(self, queues: Sequence[str], prefetch: int) -> MemoryConsumer:
        return MemoryConsumer(self.keeper, queues, prefetch)

    async def size(self, queue: str) -> int:
        return self.keeper.size(queue)

    async def purge(self, queue: str) -> int:
        return self.keeper.purge(queue)

    async def queues(self) -> Sequence[QueueSize]:
        return self.keeper.queues()

    async def places(self, ids: Sequence[str]) -> Mapping[str, int]:
        return self.keeper.places(ids)

    async def dead_letters(self, after: int = 0, limit: int = 1000) -> Sequence[DeadLetter]:
        return self.keeper.dead.after(after, limit)

    async def replay(self, letters: Sequence[tuple[int, Envelope]]) -> int:
        return self.keeper.replay(letters)

    async def drop_dead_letters(self, numbers: Sequence[int]) -> int:
        return self.keeper.dead.drop(numbers)

    async def withdraw(
        self, ids: Sequence[str], records_of: Callable[[Envelope], Sequence[SealedRecord] | None]
    ) -> Sequence[SealedRecord]:
        """As ``Withdraws.withdraw``. The records are stored here; where an app keeps its results elsewhere, its caller
        stores those that this gives there again."""
        return self.keeper.withdraw(ids, records_of)


class MemoryConsumer:
    """A claim on queues of a memory store; belongs to the loop that it was made on."""

    def __init__(self, store: MemoryStore, queues: Sequence[str], prefetch: int) -> None:
        from umbel.stores.bells import LoopBell

        self._store = store
        self._holder = Holder(tuple(dict.fromkeys(queues)))
        self._prefetch = prefetch
        self._closed = False
        self._bell: LoopBell = LoopBell()
        store.listen(self._bell.ring)

    def keeps(self, backend: ResultBackend) -> bool:
        """Whether ``backend`` is this very store, so that a settlement writes its record too."""
        return getattr(backend, "keeper", None) is self._store

    def __aiter__(self) -> AsyncIterator[list[Delivery]]:
        return self

    async def __anext__(self) -> list[Delivery]:
        while not self._closed:
            room = self._prefetch - len(self._holder.held)
            if room > 0 and (batch := self._store.claim(self._holder, room)):
                return batch
            due = self._store.next_due(self._holder.queues) if room > 0 else None
            await self._bell.wait(None if due is None else min(due - self._store.clock.now(), LONGEST_NAP))
        raise StopAsyncIteration

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        self._store.settle(self._holder, settlements)

    async def resize(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._bell.ring()

    async def close(self) -> None:
        self._closed = True
        self._store.unlisten(self._bell.ring)
        self._store.give_back(self._holder)
        self._bell.ring()
