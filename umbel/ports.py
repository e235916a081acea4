"""The ports: what an adapter must offer for a broker or a result store to be used; for short ways see ``shortcuts``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import NamedTuple, Protocol, Self, runtime_checkable

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
    """Keeps messages. An async context manager: entering connects, leaving disconnects; it can be entered again.

    It can be entered on several loops at once, each in a thread of its own: what belongs to a loop, such as a
    connection, each has for itself.

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
class Replies(Protocol):
    """A result backend that sends records to their caller in place of keeping them."""

    @property
    def reply_to(self) -> str:
        """Where this process listens, and no other, not even one that was forked from it; a message carries it to the
        worker."""
        ...

    @property
    def listening(self) -> bool:
        """Whether ``listen`` would return at once."""
        ...

    async def listen(self) -> None:
        """Return when replies can come; idempotent."""
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


@runtime_checkable
class Follows(Protocol):
    """A consumer whose server may be too full for new messages, and takes what follows a task all the same."""

    async def send(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """As ``Broker.publish``, for what comes in the place of messages that are settled next, or were just now."""
        ...


@runtime_checkable
class AnswersLate(Protocol):
    """A consumer whose ``settle`` returns before the server has heard of it."""

    async def heard(self) -> None:
        """Return when everything that was settled so far is settled, even if this process is killed now; raises
        nothing."""
        ...


@runtime_checkable
class Tethered(Protocol):
    """A consumer whose claims hang on a connection: when that is lost, the store may give them to others at once.

    What was handed out and is not settled stays the node's own all the same. If it comes back here, it is settled with
    the receipt that it has, and not handed out again.
    """

    def on_lost(self, tell: Callable[[], None]) -> None:
        """Have ``tell()`` called on the loop whenever claims were lost: what has not been started is to be settled with
        ``RETURN`` now, for somebody else may start it."""
        ...

    def overdue(self) -> Collection[str]:
        """The ids of tasks that are held for too long, to be settled with ``RETURN`` if they have not been started."""
        ...


@runtime_checkable
class Admits(Protocol):
    """An adapter whose server may be set up so that it cannot keep what is promised."""

    async def shortcomings(self) -> Sequence[str]:
        """One sentence for each promise that the server's settings give up, with what would keep it. Raises
        ``StoreError``; what the server does not tell is passed over."""
        ...


class Mark(NamedTuple):
    """A small fact with an end: ``expires`` is a unix time in seconds, None only for what somebody drops."""

    key: str
    value: str
    expires: float | None


@runtime_checkable
class Marks(Protocol):
    """Small shared facts: what was revoked, how often something was started. Every shared store offers them.

    An expired mark is as good as none, and is removed in time.
    """

    async def get_marks(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The values of those that exist."""
        ...

    async def put_marks(self, marks: Sequence[Mark]) -> None:
        """Write them, in the place of any with the same keys; durable when this returns."""
        ...

    async def put_marks_if_absent(self, marks: Sequence[Mark]) -> frozenset[str]:
        """Write those whose key has none, each at most once whoever tries at the same time; give the keys written."""
        ...

    async def add_to_marks(self, keys: Sequence[str], amount: int, expires: float) -> Mapping[str, int]:
        """Add to each as a whole number (none counts as 0), as one step; give the new numbers, durable."""
        ...

    async def drop_marks(self, keys: Sequence[str]) -> None:
        """Remove them; unknown keys are no error."""
        ...

    def watch_marks(self, prefix: str) -> AsyncIterator[list[Mark]]:
        """All marks whose key begins so, then those put later, in lists that are never empty (save the first, which may
        be); never ends. A mark put twice in quick succession may be reported once, with its last value."""
        ...


class DeadLetter(NamedTuple):
    """A message that could not be done, with the original bytes. ``number`` is its name among the dead letters."""

    number: int
    envelope: Envelope
    queue: str
    priority: int
    reason: str
    died: float


@runtime_checkable
class DeadLetters(Protocol):
    """Keeps what could not be done, newest last, until it is replayed, purged or ``dead_letter_expires`` is over."""

    async def dead_letters(self, after: int = 0, limit: int = 1000) -> Sequence[DeadLetter]:
        """Those with a number above ``after``, in the order of their numbers, at most ``limit``."""
        ...

    async def replay(self, letters: Sequence[tuple[int, Envelope]]) -> int:
        """Put each back into its queue, ready at once, with the envelope given here, and take it from the dead letters:
        one step each, so that nothing is lost or doubled. Gives how many were there."""
        ...

    async def drop_dead_letters(self, numbers: Sequence[int]) -> int:
        """Forget them; gives how many were there."""
        ...


@runtime_checkable
class CountsStarts(Protocol):
    """A consumer that can write on a message itself how often it was started, for whoever gets it next."""

    def starts_of(self, delivery: Delivery) -> int:
        """How many of its starts ended without a verdict, as far as the message says; one of what was handed out
        before, and says nothing, is presumed."""
        ...

    async def count_start(self, delivery: Delivery, starts: int) -> None:
        """Have ``starts`` written on it; durable when this returns. If it is given back, it says what it said before.

        What is no longer this consumer's is left alone. Raises ``StoreError``.
        """
        ...


class QueueSize(NamedTuple):
    """What a queue holds: messages that are ready, that wait for their time, and that were handed out and not settled.

    One whose time has come may count as ``delayed`` until somebody asks for it.
    """

    name: str
    ready: int
    delayed: int
    claimed: int


@runtime_checkable
class ListsQueues(Protocol):
    """A broker that can tell which queues it has."""

    async def queues(self) -> Sequence[QueueSize]:
        """Every queue that there is, by name; where a queue is no more than its messages, those that hold any."""
        ...


@runtime_checkable
class Withdraws(Protocol):
    """A broker that can take back a message that nobody has been handed yet."""

    async def withdraw(
        self, ids: Sequence[str], records_of: Callable[[Envelope], Sequence[SealedRecord] | None]
    ) -> Sequence[SealedRecord]:
        """Remove the waiting messages (ready or not yet due) of these ids, and store ``records_of`` each one removed,
        in one step; give those records. One of which that is None stays; what a worker already holds is left alone.

        ``records_of`` is quick, touches no store and may be called from any thread.
        """
        ...


class Inbox(Protocol):
    """Where one who asks over a bus gets the answers."""

    address: str
    """What an answer is sent to."""

    async def next(self, seconds: float) -> Envelope | None:
        """The next answer; None when none comes in that time. Raises ``StoreError`` when none can come any more."""
        ...


class Bus(Protocol):
    """Carries small messages to every node that listens at the moment, and answers back. It keeps nothing.

    ``form`` is the envelope layout that it moves.
    """

    form: str

    async def send(self, command: Envelope) -> bool:
        """Hand it to all that listen; gives whether anybody does. Raises ``StoreError``."""
        ...

    def hear(self, node: str) -> AsyncGenerator[list[Envelope], None]:
        """What is sent from now on, in lists; never ends, and never raises because of a server that is away.

        An empty list says that it listens from now on: the first one, and one each time after something may have been
        missed.
        """
        ...

    async def reply(self, address: str, answer: Envelope) -> None:
        """Send an answer to the inbox of that address; one that is gone is no error."""
        ...

    def inbox(self) -> AbstractAsyncContextManager[Inbox]:
        """A place for answers, for as long as it is entered."""
        ...


@runtime_checkable
class HasBus(Protocol):
    """A broker with a bus, which can be used while the broker is entered."""

    bus: Bus
