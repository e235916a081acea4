"""The ports: what an adapter must offer for a broker or a result store to be used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from umbel.model import Delivery, Envelope, Queue, Route, SealedRecord, Settlement


class Consumer(Protocol):
    """One worker node's claim on some queues.

    Iterating gives *lists* of deliveries, never empty; the list order is the order to start them in. At most
    ``prefetch`` deliveries are unsettled at a time. A delivery stays this consumer's until it is settled, however
    long that takes, as long as its process lives; when the process is gone, every unsettled delivery is handed out
    again, marked redelivered, within 30 s.
    """

    def __aiter__(self) -> AsyncIterator[list[Delivery]]: ...

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Apply verdicts, follow-ups and records; return when all are durable.

        Atomic where broker and store are one server. A settlement of a delivery that is no longer this consumer's
        changes nothing. Raises ``StoreError`` when the store refuses; then nothing of the call took effect and it
        can be repeated.
        """
        ...

    async def resize(self, prefetch: int) -> None:
        """Change how many deliveries may be unsettled at a time; 0 stops claiming."""
        ...

    async def close(self) -> None:
        """Stop claiming and give everything unsettled back at once, marked as it came. Idempotent."""
        ...


class Broker(Protocol):
    """Keeps messages. An async context manager: entering connects, leaving disconnects.

    ``form`` is the envelope layout that it moves (see ``wire.envelope``).
    """

    form: str

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def declare(self, queue: Queue) -> None:
        """Make sure that the queue exists; idempotent."""
        ...

    async def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """Return when every message is durable, all or none where the store can; raise ``StoreError`` otherwise."""
        ...

    async def consume(self, queues: Sequence[str], prefetch: int) -> Consumer:
        """Claim from these queues; no delivery is made before the first iteration."""
        ...

    async def size(self, queue: str) -> int:
        """How many messages wait in the queue: ready ones and those not yet due, not those handed out."""
        ...

    async def purge(self, queue: str) -> int:
        """Drop what ``size`` counts; return how many were dropped."""
        ...


class ResultBackend(Protocol):
    """Keeps records. An async context manager like ``Broker``."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def store(self, records: Sequence[SealedRecord]) -> None:
        """Write the records, each under its id.

        A final record is replaced only by one of a higher life; anything is replaced by a final one of its life.
        What may not replace is left out without an error.
        """
        ...

    async def load(self, ids: Sequence[str]) -> Mapping[str, SealedRecord]:
        """The records known for these ids, expired ones left out."""
        ...

    def watch(self, ids: Sequence[str]) -> AsyncIterator[SealedRecord]:
        """Each id's record now, if any, and again at every change.

        An id is done with after its final record; the iterator ends when all are. A change may be reported once for
        several that came close together; the last one always is.
        """
        ...

    async def forget(self, ids: Sequence[str]) -> None:
        """Drop these records; unknown ids are no error."""
        ...


@runtime_checkable
class Immediate(Protocol):
    """A broker that lives in the caller's process or file: it needs no connection and no background loop."""

    def publish_now(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """As ``Broker.publish``, in the calling thread."""
        ...


@runtime_checkable
class Lifelines(Protocol):
    """A consumer that must know which processes may still be running its deliveries."""

    def lifeline(self, runner: int) -> str:
        """The file on which runner number ``runner`` holds an exclusive ``fcntl.lockf`` lock for its whole life."""
        ...


@runtime_checkable
class KeepsRecords(Protocol):
    """A consumer that writes a settlement's record itself, in the same step, when ``keeps(backend)`` is true."""

    def keeps(self, backend: ResultBackend) -> bool: ...
