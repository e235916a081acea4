"""Keeps the dead letters of a memory store."""

from __future__ import annotations

import heapq
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from itertools import count, islice

from umbel.model import Envelope
from umbel.ports import DeadLetter

logger = logging.getLogger("umbel.stores")

KEPT = 30 * 86400.0
MOST = 100_000
"""Where the settings say nothing: for how many seconds, and how many of each queue."""


class MemoryDead:
    """Dead letters, in the order of their deaths. Thread-safe; waits for nobody but itself.

    ``expires`` is how many seconds they are kept, None for ever; ``most`` how many of each queue, the newest.
    """

    def __init__(self, now: Callable[[], float], expires: float | None, most: int) -> None:
        self._now = now
        self._expires = expires
        self._most = most
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._queues: dict[str, OrderedDict[int, DeadLetter]] = {}
        self._told: set[str] = set()
        """Queues of which it was said that they have too many."""

    def bury(self, envelope: Envelope, queue: str, priority: int, reason: str) -> None:
        """Add one."""
        with self._lock:
            letter = DeadLetter(next(self._numbers), envelope, queue, priority, reason, self._now())
            letters = self._queues.setdefault(queue, OrderedDict())
            letters[letter.number] = letter
            self._expire()
            if len(letters) > self._most:
                letters.popitem(last=False)
                if queue not in self._told:
                    self._told.add(queue)
                    logger.warning(
                        "queue %s has more than %d dead letters (dead_letter_max): the oldest are dropped",
                        queue,
                        self._most,
                    )

    def after(self, number: int, limit: int) -> list[DeadLetter]:
        """As ``DeadLetters.dead_letters``."""
        with self._lock:
            self._expire()
            letters = heapq.merge(*(letters.values() for letters in self._queues.values()))
            return list(islice((letter for letter in letters if letter.number > number), limit))

    def take(self, number: int) -> DeadLetter | None:
        """Remove one, and give it if it was there."""
        with self._lock:
            for queue, letters in self._queues.items():
                letter = letters.pop(number, None)
                if letter is not None:
                    if not letters:
                        del self._queues[queue]
                    return letter
            return None

    def drop(self, numbers: Iterable[int]) -> int:
        """As ``DeadLetters.drop_dead_letters``."""
        return sum(self.take(number) is not None for number in numbers)

    def _expire(self) -> None:
        if self._expires is None:
            return
        past = self._now() - self._expires
        for queue, letters in list(self._queues.items()):
            while letters and next(iter(letters.values())).died <= past:
                letters.popitem(last=False)
            if not letters:
                del self._queues[queue]
