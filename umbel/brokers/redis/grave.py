"""Dead letters on a Redis server: the original bytes, with the queue, the reason and the time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from umbel.model import Delivery, Envelope, Route
from umbel.ports import DeadLetter
from umbel.stores.redis.connection import Word
from umbel.stores.redis.link import Script
from umbel.stores.redis.store import RedisStore
from umbel.wire.kombu import told_by

_EXHUME = Script("exhume")
_LONGEST_NUMBER = 10**19


class Grave:
    """The dead letters of one store; they are kept for ``expires`` seconds, None for ever, and ``most`` of a queue."""

    def __init__(self, store: RedisStore, expires: float | None, most: int) -> None:
        self._store = store
        self._expires = expires
        self._most = most

    def burial(self, delivery: Delivery, step: int, reason: str, now: float) -> list[Word]:
        """What the script that settles is told to do for one; ``step`` is the number of its list."""
        layout, queue = self._store.layout, delivery.queue
        told = {"queue": queue, "priority": delivery.priority, "step": step, "reason": reason, "died": now}
        letter = json.dumps(told).encode() + b"\n" + delivery.envelope.head
        keys = [layout.letters, layout.numbers, layout.numbers_of]
        return ["D", *keys, queue, letter, self._most, self._expires or 0]

    async def letters(self, after: int, limit: int, now: float) -> Sequence[DeadLetter]:
        """See ``ports.DeadLetters``."""
        layout, link = self._store.layout, self._store.link
        oldest = after if self._expires is None else max(after, int((now - self._expires) * 1e9))
        if oldest >= _LONGEST_NUMBER or limit <= 0:
            return []
        bound = f"({max(0, oldest):019d};"  # a number, and then a colon, which comes before the semicolon
        known = await link.ask("ZRANGEBYLEX", layout.numbers, bound, "+", "LIMIT", 0, limit)
        if not known:
            return []
        numbers = [each[:19] for each in known]
        found = await link.ask("HMGET", layout.letters, *numbers)
        return [_letter(int(number), each) for number, each in zip(numbers, found, strict=True) if each is not None]

    async def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        """Of those of these numbers that are here: the ids of their messages."""
        if not numbers:
            return {}
        found = await self._store.link.ask("HMGET", self._store.layout.letters, *(f"{each:019d}" for each in numbers))
        told = zip(numbers, found, strict=True)
        return {number: told_by(_parts(letter)[1]).id for number, letter in told if letter is not None}

    async def replay(self, letters: Sequence[tuple[int, Envelope]], now: float) -> int:
        """See ``ports.DeadLetters``: all of them in one step."""
        layout, link = self._store.layout, self._store.link
        wanted = {f"{number:019d}": envelope for number, envelope in letters}
        if not wanted:
            return 0
        found = await link.ask("HMGET", layout.letters, *wanted)
        args: list[Word] = [layout.numbers_of]
        for (number, envelope), letter in zip(wanted.items(), found, strict=True):
            if letter is not None:
                told, _ = _parts(letter)
                place = layout.lists(told["queue"])[told["step"]]
                entry = self._store.sending(Route(told["queue"], told["priority"]), envelope, now)[-1]
                args += [number, place, entry]
        return int(await link.run(_EXHUME, layout.grave, args))

    async def drop(self, numbers: Sequence[int]) -> int:
        """See ``ports.DeadLetters``."""
        layout = self._store.layout
        if not numbers:
            return 0
        args: list[Word] = [layout.numbers_of]
        for number in dict.fromkeys(numbers):
            args += [f"{number:019d}", "", ""]
        return int(await self._store.link.run(_EXHUME, layout.grave, args))


class Graves:
    """The dead letters of several stores as one. A number is a moment, so that two stores may have the same: such
    letters are told apart by their ids, and dropped one by one."""

    def __init__(self, graves: Sequence[Grave]) -> None:
        self._graves = graves

    async def letters(self, after: int, limit: int, now: float) -> Sequence[DeadLetter]:
        """See ``ports.DeadLetters``."""
        found = [letter for grave in self._graves for letter in await grave.letters(after, limit, now)]
        return sorted(found, key=lambda letter: letter.number)[: max(0, limit)]

    async def replay(self, letters: Sequence[tuple[int, Envelope]], now: float) -> int:
        """See ``ports.DeadLetters``: those of each store in one step."""
        wanted = dict(letters)
        found = [await grave.ids(list(wanted)) for grave in self._graves]
        count = 0
        for grave, ids in zip(self._graves, found, strict=True):
            own = [
                (number, wanted[number])
                for number, id in ids.items()
                if id == wanted[number].id or sum(number in each for each in found) == 1
            ]
            count += await grave.replay(own, now)
        return count

    async def drop(self, numbers: Sequence[int]) -> int:
        """See ``ports.DeadLetters``: those of each store in one step."""
        left, count = dict.fromkeys(numbers), 0
        for grave in self._graves:
            own = list(await grave.ids(list(left)))
            count += await grave.drop(own)
            left = {number: None for number in left if number not in own}
        return count


def _parts(letter: bytes) -> tuple[dict[str, Any], bytes]:
    told, _, entry = letter.partition(b"\n")
    return json.loads(told), entry


def _letter(number: int, letter: bytes) -> DeadLetter:
    told, entry = _parts(letter)
    envelope = Envelope("kombu", told_by(entry).id, entry, b"")
    return DeadLetter(number, envelope, told["queue"], told["priority"], told["reason"], told["died"])
