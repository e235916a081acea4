"""Shows the messages that could not be done, sends them again, and forgets them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar

from umbel.errors import ConfigurationError, NoSuchDeadLetter, SignatureError, WireError
from umbel.model import Envelope
from umbel.ports import DeadLetter, DeadLetters
from umbel.wire import marks, task_v2
from umbel.wire.envelope import unpack
from umbel.wire.marking import life_of, marked
from umbel.wiring import App

T = TypeVar("T")

PAGE = 50
"""Letters read at a time: each comes with its whole body."""

DROPPED_AT_ONCE = 1000

Age = float | timedelta | datetime
"""A number of seconds ago, or a moment; a naive one is in the app's time zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadTask:
    """A dead letter without its content. ``task`` and ``id`` are None where they cannot be told; ``size`` is in bytes,
    ``life`` counts how often the task was deliberately started anew before."""

    number: int
    id: str | None
    task: str | None
    queue: str
    priority: int
    reason: str
    died: datetime
    life: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMessage(DeadTask):
    """A dead letter, whole. ``body`` is as it travelled: not decoded, decompressed nor decrypted. ``unreadable`` says
    why the head cannot be taken apart, whose bytes are then in ``head``."""

    headers: Mapping[str, Any]
    properties: Mapping[str, Any]
    content_type: str | None
    content_encoding: str | None
    body: bytes
    head: bytes
    unreadable: str | None


class _Choice(NamedTuple):
    """Which letters are meant: those, too, that died at ``before`` or earlier, and after ``after`` (unix seconds)."""

    task: str | None
    reason: str | None
    queue: str | None
    before: float
    after: float

    @property
    def every(self) -> bool:
        return self == EVERY

    def takes(self, letter: DeadLetter) -> bool:
        if not self.after < letter.died <= self.before or self.queue not in (None, letter.queue):
            return False
        if self.reason is not None and self.reason.casefold() not in letter.reason.casefold():
            return False
        return self.task is None or fnmatchcase(task_v2.peek(letter.envelope)[0] or "", self.task)


EVERY = _Choice(None, None, None, math.inf, -math.inf)


class DeadLetterOffice:
    """The dead letters of an app's broker; ``app.dead`` is one.

    Every method takes the same filters, all of which must fit: ``task`` is a name or a pattern (``"shop.*"``),
    ``reason`` a part of the reason in any case of letters, ``queue`` a name, ``older_than`` and ``newer_than`` a number
    of seconds ago, a timedelta or a datetime. All raise ``StoreError`` when the store cannot be reached, and
    ``ConfigurationError`` when the broker keeps no dead letters that can be looked at or a filter cannot be meant.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    def list(
        self,
        *,
        task: str | None = None,
        reason: str | None = None,
        queue: str | None = None,
        older_than: Age | None = None,
        newer_than: Age | None = None,
        limit: int | None = 1000,
    ) -> Sequence[DeadTask]:
        """The oldest that fit, at most ``limit``, in the order of their deaths."""
        choice = self._choice(task, reason, queue, older_than, newer_than)
        if limit is not None and limit < 0:
            raise ConfigurationError(f"limit must be 0 or more, or None for all, not {limit}")

        async def work(box: DeadLetters) -> Sequence[DeadTask]:
            found: list[DeadTask] = []
            async for letter in _each(box):
                if limit is not None and len(found) >= limit:
                    break
                if choice.takes(letter):
                    found.append(self._summary(letter))
            return found

        return self._run(work)

    def show(self, number: int) -> DeadMessage:
        """The one of this number, whole; raises ``NoSuchDeadLetter``."""

        async def work(box: DeadLetters) -> DeadLetter:
            for letter in await box.dead_letters(number - 1, 1):
                if letter.number == number:
                    return letter
            raise NoSuchDeadLetter(
                f"there is no dead letter {number}: it was replayed, purged or has expired, or there never was one"
            )

        return self._whole(self._run(work))

    def replay(
        self,
        numbers: int | Iterable[int] | None = None,
        *,
        task: str | None = None,
        reason: str | None = None,
        queue: str | None = None,
        older_than: Age | None = None,
        newer_than: Age | None = None,
    ) -> int:
        """Send them again, each to its queue and ready at once; gives how many there were.

        Those of ``numbers``, all by default, that fit the filters. Each begins a new life of its task: what the store
        knows of the last one stays until the new one has something to say, and is replaced then, although it was
        final. The body is not looked at. A message whose head cannot be read is sent as it is.

        Raises ``SignatureError`` that names the messages which must be signed anew and cannot be: those stay, all
        others are sent.
        """
        choice = self._choice(task, reason, queue, older_than, newer_than)
        refused: list[tuple[int, SignatureError]] = []

        def reborn(letters: Iterable[DeadLetter]) -> Iterator[tuple[int, Envelope]]:
            for letter in letters:
                try:
                    yield letter.number, self._reborn(letter)
                except SignatureError as error:
                    refused.append((letter.number, error))

        async def work(box: DeadLetters) -> int:
            count = 0
            async for letters in _of(box, await _numbers(box, numbers, choice)):
                count += await box.replay(list(reborn(letters)))
            return count

        count = self._run(work)
        if refused:
            raise _cannot_sign(refused, count)
        return count

    def purge(
        self,
        numbers: int | Iterable[int] | None = None,
        *,
        task: str | None = None,
        reason: str | None = None,
        queue: str | None = None,
        older_than: Age | None = None,
        newer_than: Age | None = None,
    ) -> int:
        """Forget those of ``numbers``, all by default, that fit the filters; gives how many there were."""
        choice = self._choice(task, reason, queue, older_than, newer_than)

        async def work(box: DeadLetters) -> int:
            chosen = await _numbers(box, numbers, choice)
            parts = [chosen[at : at + DROPPED_AT_ONCE] for at in range(0, len(chosen), DROPPED_AT_ONCE)]
            return sum([await box.drop_dead_letters(part) for part in parts])

        return self._run(work)

    # -- what is known of a letter

    def _summary(self, letter: DeadLetter) -> DeadTask:
        return DeadTask(**self._told(letter))

    def _told(self, letter: DeadLetter) -> dict[str, Any]:
        envelope = letter.envelope
        task, id = task_v2.peek(envelope)
        return {
            "number": letter.number,
            "id": id,
            "task": task,
            "queue": letter.queue,
            "priority": letter.priority,
            "reason": letter.reason,
            "died": datetime.fromtimestamp(letter.died, self._app.timezone),
            "life": life_of(envelope),
            "size": len(envelope.head) + len(envelope.body),
        }

    def _whole(self, letter: DeadLetter) -> DeadMessage:
        told, head = self._told(letter), letter.envelope.head
        try:
            headers, properties, body, content_type, content_encoding = unpack(letter.envelope)
        except WireError as error:
            nothing: dict[str, Any] = {}
            return DeadMessage(
                **told,
                headers=nothing,
                properties=nothing,
                content_type=None,
                content_encoding=None,
                body=letter.envelope.body,
                head=head,
                unreadable=str(error),
            )
        return DeadMessage(
            **told,
            headers=headers,
            properties=properties,
            content_type=content_type,
            content_encoding=content_encoding,
            body=body,
            head=head,
            unreadable=None,
        )

    def _reborn(self, letter: DeadLetter) -> Envelope:
        """The message at the beginning of its next life: nothing of the last one is held against it."""
        changes = {
            marks.LIFE: life_of(letter.envelope) + 1,
            marks.STARTS: None,
            marks.RESENT: None,
            marks.UNKNOWN_SINCE: None,
        }
        try:
            return marked(letter.envelope, changes, protection=self._app.protection)
        except SignatureError:
            raise
        except WireError:
            return letter.envelope

    # -- asking

    def _choice(
        self, task: str | None, reason: str | None, queue: str | None, older: Age | None, newer: Age | None
    ) -> _Choice:
        for name, text in (("task", task), ("reason", reason), ("queue", queue)):
            if text is not None and not isinstance(text, str):
                raise ConfigurationError(f"{name} must be a text, not {text!r}")
        before, after = self._moment("older_than", older), self._moment("newer_than", newer)
        return _Choice(
            task, reason, queue, EVERY.before if before is None else before, EVERY.after if after is None else after
        )

    def _moment(self, name: str, age: Age | None) -> float | None:
        """The unix time that is meant."""
        if age is None:
            return None
        if isinstance(age, datetime):
            return (age if age.tzinfo is not None else age.replace(tzinfo=self._app.timezone)).timestamp()
        seconds = age.total_seconds() if isinstance(age, timedelta) else age
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
            raise ConfigurationError(
                f"{name} must be a number of seconds from 0, a timedelta or a datetime, not {age!r}"
            )
        return self._app.clock.now() - seconds

    def _run(self, work: Callable[[DeadLetters], Coroutine[Any, Any, T]]) -> T:
        from umbel import bridge

        broker = self._app.broker
        if not isinstance(broker, DeadLetters):
            raise ConfigurationError(
                f"{type(broker).__name__} keeps its dead letters where umbel cannot look; use the broker's own tools"
            )
        way = bridge.get()

        async def asked() -> T:
            return await work(await way.entered(broker))

        return way.run(asked())


def _cannot_sign(refused: Sequence[tuple[int, SignatureError]], sent: int) -> SignatureError:
    number, first = refused[0]
    others = "" if len(refused) == 1 else f" (and {len(refused) - 1} more, the last {refused[-1][0]})"
    return SignatureError(
        f"dead letter {number}{others} cannot be replayed, and stays: {first}; {sent} others were replayed"
    )


async def _each(box: DeadLetters) -> AsyncIterator[DeadLetter]:
    after = 0
    while page := await box.dead_letters(after, PAGE):
        for letter in page:
            yield letter
        after = page[-1].number


async def _of(box: DeadLetters, numbers: Sequence[int]) -> AsyncIterator[Sequence[DeadLetter]]:
    """The letters of these rising numbers that are there, page by page; few others are read."""
    wanted, at = set(numbers), 0
    while at < len(numbers):
        first = end = at
        while end < len(numbers) and numbers[end] < numbers[first] + PAGE:
            end += 1
        page = await box.dead_letters(numbers[first] - 1, numbers[end - 1] - numbers[first] + 1)
        yield [letter for letter in page if letter.number in wanted and letter.number <= numbers[end - 1]]
        at = end


async def _numbers(box: DeadLetters, numbers: int | Iterable[int] | None, choice: _Choice) -> Sequence[int]:
    """The numbers that are meant, rising, before anything is done: what dies meanwhile is not among them."""
    if numbers is None:
        return [letter.number async for letter in _each(box) if choice.takes(letter)]
    chosen = sorted({numbers} if isinstance(numbers, int) else {_number(number) for number in numbers})
    if choice.every:
        return chosen
    return [letter.number async for letters in _of(box, chosen) for letter in letters if choice.takes(letter)]


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(f"a dead letter's number is a whole number, not {value!r}")
    return value
