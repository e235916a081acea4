"""Keeps messages and records in this process, for tests and for programs that are their own worker."""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from umbel.clock import Clock, SystemClock
from umbel.errors import ConfigurationError
from umbel.model import Delivery, Envelope, Route, SealedRecord, Settlement, Verdict, may_replace
from umbel.ports import QueueSize
from umbel.settings.masking import mask_url
from umbel.stores import memory_dead
from umbel.stores.memory_bus import MemoryBus
from umbel.stores.memory_dead import MemoryDead
from umbel.stores.memory_marks import MemoryMarks
from umbel.stores.memory_progress import MemoryProgress
from umbel.tracking import MOST_AHEAD

_stores: weakref.WeakValueDictionary[str, MemoryStore] = weakref.WeakValueDictionary()
_registry_lock = threading.Lock()
_receipts = itertools.count(1)


def name_of(url: str) -> str:
    """The store's name in ``memory://name``; raises ``ConfigurationError`` for anything more than a name."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that no address has
        parts = None
    if parts is None or parts.scheme != "memory" or parts.path.strip("/") or parts.query:
        raise ConfigurationError(f"{mask_url(url)!r} is no memory store: write memory:// or memory://name") from None
    return unquote(parts.netloc)


@dataclass(slots=True)
class Item:
    """One message that is kept; the store's lock guards it."""

    seq: int
    queue: str
    priority: int
    due: float | None
    envelope: Envelope
    redelivered: bool = False


@dataclass(eq=False, slots=True, weakref_slot=True)
class Holder:
    """What one consumer holds: receipts of its unsettled deliveries. The store's lock guards it."""

    queues: tuple[str, ...]
    held: dict[int, Item] = field(default_factory=dict)
    turn: int = 0


class MemoryStore:
    """One named store of this process, safe to use from all its threads.

    It lives as long as a broker or backend of its name does. A forked child starts with an empty one: what the
    parent holds is the parent's to run.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.clock: Clock = SystemClock()
        self._dead_for: float | None = settings.get("dead_letter_expires", memory_dead.KEPT) or None
        self._most_dead: int = settings.get("dead_letter_max", memory_dead.MOST)
        self._born_empty()

    def _born_empty(self) -> None:
        self._lock = threading.Lock()
        self._seq = itertools.count(1)
        self._ready: dict[str, list[tuple[int, int, Item]]] = {}
        self._waiting: dict[str, list[tuple[float, int, Item]]] = {}
        self._records: dict[str, SealedRecord] = {}
        self._expiries: list[tuple[float, str]] = []
        self.dead = MemoryDead(lambda: self.clock.now(), self._dead_for, self._most_dead)
        self.marks = MemoryMarks(lambda: self.clock.now())
        self.progress = MemoryProgress(lambda: self.clock.now())
        self.bus = MemoryBus()
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet()
        """Those that may hold something."""
        self._bells: set[Callable[[], None]] = set()

    @classmethod
    def named(cls, name: str, settings: Mapping[str, Any] | None = None) -> MemoryStore:
        """The store of this name, the same one for everybody in this process; the first one's settings count."""
        with _registry_lock:
            store = _stores.get(name)
            if store is None:
                store = _stores[name] = cls(settings or {})
            return store

    def use_clock(self, clock: Clock) -> None:
        """Measure dues and expiries by this clock from now on; call ``ring`` whenever it is turned by hand."""
        self.clock = clock
        self.ring()

    def listen(self, bell: Callable[[], None]) -> None:
        """Call ``bell`` after every change, in the thread that made it; it must not block nor use the store."""
        with self._lock:
            self._bells.add(bell)

    def unlisten(self, bell: Callable[[], None]) -> None:
        """End what ``listen`` began; an unknown bell is no error."""
        with self._lock:
            self._bells.discard(bell)

    def ring(self) -> None:
        """Make everybody who waits look again."""
        with self._lock:
            bells = tuple(self._bells)
        for bell in bells:
            bell()

    # -- messages

    def publish(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """Keep the messages, all at once."""
        with self._lock:
            self._put(messages)
        self.ring()

    def _put(self, messages: Iterable[tuple[Route, Envelope]]) -> None:
        for route, envelope in messages:
            due = route.due
            if due is not None and due <= self.clock.now():
                due = None
            self._place(Item(next(self._seq), route.queue, route.priority or 0, due, envelope))

    def _place(self, item: Item) -> None:
        if item.due is None:
            heapq.heappush(self._ready.setdefault(item.queue, []), (-item.priority, item.seq, item))
        else:
            heapq.heappush(self._waiting.setdefault(item.queue, []), (item.due, item.seq, item))

    def size(self, queue: str) -> int:
        """Ready messages and those not yet due."""
        with self._lock:
            return len(self._ready.get(queue, ())) + len(self._waiting.get(queue, ()))

    def waiting(self) -> list[Item]:
        """What ``size`` counts in all queues, in the order in which it comes due and, of each queue, is handed out."""
        with self._lock:
            now = self.clock.now()
            items = [item for heap in self._ready.values() for _, _, item in heap]
            items += [item for heap in self._waiting.values() for _, _, item in heap]
        return sorted(items, key=lambda item: (max(item.due or now, now), item.queue, -item.priority, item.seq))

    def purge(self, queue: str) -> int:
        """Drop what ``size`` counts; return how many."""
        with self._lock:
            return len(self._ready.pop(queue, ())) + len(self._waiting.pop(queue, ()))

    def withdraw(
        self, ids: Iterable[str], records_of: Callable[[Envelope], Sequence[SealedRecord] | None]
    ) -> list[SealedRecord]:
        """As ``Withdraws.withdraw``."""
        known = frozenset(ids)
        records: list[SealedRecord] = []
        with self._lock:
            for heaps in (self._ready, self._waiting):
                removed: list[Item] = []
                for item in _in(heaps, known):
                    made = records_of(item.envelope)
                    if made is not None:
                        removed.append(item)
                        records += made
                _remove(heaps, removed)
            for record in records:
                self._write(record)
        self.ring()
        return records

    def replay(self, letters: Iterable[tuple[int, Envelope]]) -> int:
        """As ``DeadLetters.replay``."""
        count = 0
        with self._lock:
            for number, envelope in letters:
                letter = self.dead.take(number)
                if letter is not None:
                    self._place(Item(next(self._seq), letter.queue, letter.priority, None, envelope))
                    count += 1
        self.ring()
        return count

    def queues(self) -> list[QueueSize]:
        """As ``ListsQueues.queues``."""
        with self._lock:
            ready, waiting = self._ready, self._waiting
            held = Counter(item.queue for holder in self._holders for item in holder.held.values())
            return [
                QueueSize(name, len(ready.get(name, ())), len(waiting.get(name, ())), held[name])
                for name in sorted({*ready, *waiting, *held})
            ]

    def places(self, ids: Iterable[str]) -> Mapping[str, int]:
        """As ``Places.places``."""
        known, places = frozenset(ids), {}
        with self._lock:
            for heap in self._ready.values():
                for place, (_, _, item) in enumerate(sorted(heap, key=lambda entry: entry[:2])):
                    if item.envelope.id in known:
                        places[item.envelope.id] = min(place, MOST_AHEAD)
        return places

    # -- deliveries

    def claim(self, holder: Holder, room: int) -> list[Delivery]:
        """Hand out up to ``room`` messages: each queue its share, the queues taking turns in being first."""
        with self._lock:
            if not holder.queues:
                return []
            self._holders.add(holder)
            if self._waiting:
                self._promote(holder.queues)
            names = holder.queues[holder.turn :] + holder.queues[: holder.turn]
            holder.turn = (holder.turn + 1) % len(names)
            taken: list[Item] = []
            for left, name in zip(range(len(names), 0, -1), names, strict=True):
                self._take(name, -(-(room - len(taken)) // left), taken)
            for name in names:
                self._take(name, room - len(taken), taken)
            batch = []
            for item in taken:
                receipt = next(_receipts)
                holder.held[receipt] = item
                batch.append(Delivery(item.envelope, item.queue, receipt, item.redelivered, item.priority))
            return batch

    def _take(self, queue: str, most: int, into: list[Item]) -> None:
        heap = self._ready.get(queue)
        while heap and most > 0:
            into.append(heapq.heappop(heap)[2])
            most -= 1
        if heap is not None and not heap:
            del self._ready[queue]

    def _promote(self, queues: Iterable[str]) -> None:
        now = self.clock.now()
        for name in queues:
            heap = self._waiting.get(name)
            while heap and heap[0][0] <= now:
                item = heapq.heappop(heap)[2]
                item.due = None
                self._place(item)
            if heap is not None and not heap:
                del self._waiting[name]

    def next_due(self, queues: Iterable[str]) -> float | None:
        """The unix time at which the next message of these queues comes due, if one waits."""
        if not self._waiting:
            return None
        with self._lock:
            return min((heap[0][0] for name in queues if (heap := self._waiting.get(name))), default=None)

    def settle(self, holder: Holder, settlements: Iterable[Settlement]) -> None:
        """Apply the settlements of what ``holder`` still holds, in one step; leave out the others whole."""
        with self._lock:
            for settlement in settlements:
                item = holder.held.pop(settlement.delivery.receipt, None)
                if item is None:
                    continue
                if settlement.verdict.kind != "ack":
                    self._apply(item, settlement.verdict)
                if settlement.follow_ups:
                    self._put(settlement.follow_ups)
                if settlement.record is not None:
                    self._write(settlement.record)
        self.ring()

    def _apply(self, item: Item, verdict: Verdict) -> None:
        if verdict.kind in ("requeue", "return"):
            item.redelivered = item.redelivered or verdict.kind == "requeue"
            self._place(item)
        elif verdict.kind == "later":
            item.due = verdict.due
            self._place(item)
        elif verdict.kind == "dead":
            self.dead.bury(item.envelope, item.queue, item.priority, verdict.reason or "")

    def give_back(self, holder: Holder) -> None:
        """Make everything that ``holder`` holds ready again, at its old place and marked as it came."""
        with self._lock:
            for item in holder.held.values():
                self._place(item)
            holder.held.clear()
        self.ring()

    # -- records

    def store(self, records: Iterable[SealedRecord]) -> None:
        """Write the records that may replace what is there."""
        with self._lock:
            for record in records:
                self._write(record)
        self.ring()

    def _write(self, record: SealedRecord) -> None:
        self._expire()
        old = self._records.get(record.id)
        if old is not None and not may_replace(old.state, old.life, record.state, record.life):
            return
        self._records[record.id] = record
        if record.expires is not None:
            heapq.heappush(self._expiries, (record.expires, record.id))

    def _expire(self) -> None:
        now = self.clock.now()
        while self._expiries and self._expiries[0][0] <= now:
            _, id = heapq.heappop(self._expiries)
            record = self._records.get(id)
            if record is not None and record.expires is not None and record.expires <= now:
                del self._records[id]

    def load(self, ids: Iterable[str]) -> Mapping[str, SealedRecord]:
        """The records of these ids that have not expired."""
        with self._lock:
            self._expire()
            return {id: self._records[id] for id in ids if id in self._records}

    def forget(self, ids: Iterable[str]) -> None:
        """Drop these records."""
        with self._lock:
            for id in ids:
                self._records.pop(id, None)


def _in(heaps: dict[str, list[Any]], ids: Container[str]) -> Iterator[Item]:
    """The messages of these ids in heaps whose entries end with an item."""
    return (entry[-1] for heap in heaps.values() for entry in heap if entry[-1].envelope.id in ids)


def _remove(heaps: dict[str, list[Any]], items: Iterable[Item]) -> None:
    numbers = {item.seq for item in items}
    for queue in {item.queue for item in items}:
        left = [entry for entry in heaps.pop(queue) if entry[-1].seq not in numbers]
        if left:
            heapq.heapify(left)
            heaps[queue] = left


def _before_fork() -> None:
    _registry_lock.acquire()


def _in_parent() -> None:
    _registry_lock.release()


def _in_child() -> None:
    _registry_lock.release()
    for store in list(_stores.values()):
        store._born_empty()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
