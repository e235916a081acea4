"""The broker on an SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from umbel.model import Envelope, Queue, Route, SealedRecord
from umbel.ports import DeadLetter, QueueSize
from umbel.stores.declaring import declared
from umbel.stores.sqlite.adapting import OnFile

if TYPE_CHECKING:
    from umbel.brokers.sqlite.consumer import SqliteConsumer


class SqliteBroker(OnFile):
    """Messages in the file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names.

    Making it touches no file. What is published survives the end of every process; with ``sqlite_synchronous`` FULL
    a power cut too. All processes that use the file must run on one machine.
    """

    form = "plain"

    async def declare(self, queue: Queue) -> None:
        """A queue is a name in a row; it needs no making."""
        declared(queue)

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        from umbel.stores.threads import in_thread

        await in_thread(self.keeper.publish, messages)

    def publish_now(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """As ``publish``, in this thread, inside or outside the context manager; waits for locks like it."""
        self.keeper.publish(messages)

    def close_now(self) -> None:
        """Close the connections that nobody uses at this moment."""
        if "keeper" in self.__dict__:
            self.keeper.rest()

    async def consume(self, queues: Sequence[str], prefetch: int) -> SqliteConsumer:
        from umbel.brokers.sqlite.consumer import SqliteConsumer

        consumer = SqliteConsumer(self.keeper, queues, prefetch)
        await consumer.register()
        return consumer

    async def size(self, queue: str) -> int:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.size, queue)

    async def purge(self, queue: str) -> int:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.purge, queue)

    async def queues(self) -> Sequence[QueueSize]:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.queues)

    async def places(self, ids: Sequence[str]) -> Mapping[str, int]:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.progress.places, ids)

    async def dead_letters(self, after: int = 0, limit: int = 1000) -> Sequence[DeadLetter]:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.dead.after, after, limit)

    async def replay(self, letters: Sequence[tuple[int, Envelope]]) -> int:
        """As ``DeadLetters.replay``, and all of them in one step."""
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.dead.replay, letters)

    async def drop_dead_letters(self, numbers: Sequence[int]) -> int:
        from umbel.stores.threads import in_thread

        return await in_thread(self.keeper.dead.drop, numbers)

    async def withdraw(
        self, ids: Sequence[str], records_of: Callable[[Envelope], Sequence[SealedRecord] | None]
    ) -> Sequence[SealedRecord]:
        """As ``Withdraws.withdraw``. The records are stored in this file; where an app keeps its results elsewhere, its
        caller stores those that this gives there again."""
        from umbel.stores.sqlite.withdrawing import withdraw
        from umbel.stores.threads import in_thread

        return await in_thread(withdraw, self.keeper, ids, records_of)
