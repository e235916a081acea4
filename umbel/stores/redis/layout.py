"""What the keys of a Redis store are called: Celery's where Celery has them, umbel's own beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from umbel.wire.names import BINDINGS, GROUP_KEYS, GROUP_RECORD, KEY_SEPARATOR, PRIORITY_STEPS, RECORD

URGENT = 9
"""The most urgent of umbel's priorities; on the wire it is 0."""


class Layout:
    """The keys behind ``prefix`` (``global_keyprefix``)."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.unacked = f"{prefix}unacked"
        self.unacked_index = f"{prefix}unacked_index"
        self.claims = f"{prefix}umbel.claims"
        """Whose claims end when: the only ones that a worker of umbel's takes over."""
        self.letters = f"{prefix}umbel.dead"
        """Dead letters by number."""
        self.numbers = f"{prefix}umbel.dead.numbers"
        """Their numbers, each with its queue."""
        self.numbers_of = f"{prefix}umbel.dead.numbers."
        """Before the name of a queue: the same for that queue."""
        self.bindings = f"{prefix}{BINDINGS}"
        self.marks = [f"{prefix}umbel.marks", f"{prefix}umbel.marks.ends"]
        """The values of marks, and when each ends; the first is also the channel that tells of changes."""
        self.progress = f"{prefix}umbel.progress"
        """The channel that tells which tasks have moved; with a dot and an id behind it, what is known of that one."""
        self.queues = f"{prefix}umbel.queues"
        """The names of the queues that umbel has sent to or taken from."""
        self.inboxes = f"{prefix}umbel.inboxes"
        """Until when answers to those who have asked are kept."""
        # As in Celery, whose results stand behind another prefix than its messages.
        self._results = prefix if not prefix or prefix[-1] in ":_-." else f"{prefix}_"

    @property
    def held(self) -> list[str]:
        """The keys in which messages stand that were handed out, as scripts take them."""
        return [self.unacked, self.unacked_index, self.claims]

    @property
    def touched(self) -> list[str]:
        """``held``, and what else must be named to scripts that put messages back or settle them."""
        return self.held

    @property
    def grave(self) -> list[str]:
        """The keys of dead letters, as scripts take them."""
        return [self.letters, self.numbers]

    def notes(self, ids: Iterable[str]) -> list[str]:
        """The keys of what is known of how far tasks are, as scripts take them."""
        return [self.progress]

    def inbox(self, name: str) -> str:
        """Where answers are put for one who has asked."""
        return self.lists(name)[0]

    def record(self, id: str) -> str:
        """The record of a task; also the channel on which it is told."""
        return f"{self._results}{RECORD}{id}"

    def side(self, id: str) -> str:
        """What is known of a record and does not stand in it."""
        return f"{self._results}umbel.record.{id}"

    def group(self, id: str) -> list[str]:
        """By what the chord of a group is counted: Celery's three keys, then what was joined, and for whom; the key of
        Celery's that tells how its parts are nested; and of what its body is made."""
        counted = [f"{self._results}{GROUP_RECORD}{id}{end}" for end in GROUP_KEYS]
        own = [f"{self._results}umbel.joined.{id}", f"{self._results}umbel.joiner.{id}"]
        return [*counted, *own, f"{self._results}{GROUP_RECORD}{id}", f"{self._results}umbel.body.{id}"]

    def desk(self, name: str) -> str:
        """The groups whose bodies are to be sent by those who look at this desk."""
        return f"{self._results}umbel.desk.{name}"

    def lists(self, queue: str) -> list[str]:
        """The lists of a queue, the most urgent first."""
        name = self.prefix + queue
        return [name, *(f"{name}{KEY_SEPARATOR}{step}" for step in PRIORITY_STEPS[1:])]

    def due(self, queue: str) -> str:
        """What waits for its time; also the channel that tells of a new first one."""
        return f"{self.prefix}umbel.due.{queue}"

    def reads(self, queue: str) -> str:
        """Which consumers that park what is not yet due read the queue, and until when they are believed to."""
        return f"{self.prefix}umbel.reads.{queue}"

    def binding(self, exchange: str, routing_key: str, queue: str) -> tuple[str, str]:
        """The set and the member by which clients of others find a queue."""
        return f"{self.bindings}{exchange}", KEY_SEPARATOR.join((routing_key, "", queue))

    def channel(self, db: int, exchange: str) -> str:
        """What is published for an exchange that hands everything to everybody."""
        return f"{self.prefix}/{db}.{exchange}"

    def types(self, queues: list[str]) -> dict[str, str]:
        """What the keys are that a consumer of these queues uses."""
        known = {self.unacked: "hash", self.unacked_index: "zset", self.claims: "zset"}
        for queue in queues:
            known |= {self.due(queue): "zset", self.reads(queue): "zset"}
            known |= dict.fromkeys(self.lists(queue), "list")
        return known


def step_of(priority: int | None) -> int:
    """Which of a queue's lists a message of this priority is in, from 0; umbel's priorities, higher is sooner."""
    number = 0 if priority is None else URGENT - priority
    return max(at for at, step in enumerate(PRIORITY_STEPS) if step <= number)


def value_of(name: str) -> str:
    """A queue's name as it stands behind an entry in ``unacked``."""
    return json.dumps(name)


_MIDDLE = b',"",'


def entry_in(value: bytes) -> tuple[bytes, str]:
    """The entry in a value of ``unacked`` that umbel has written, and its queue; raises ``ValueError`` for another."""
    end = value.rindex(_MIDDLE)
    return value[1:end], json.loads(value[end + len(_MIDDLE) : -1])


def tags(owner: str, number: int) -> str:
    """How the tags of a claim begin; the number of a list and that of the message follow, with a colon between.

    Those of one owner sort by when they were given.
    """
    return f"{owner}:{number:010d}:"


def tag(owner: str, number: int, step: int, place: int) -> str:
    """The whole tag of one message."""
    return f"{tags(owner, number)}{step}:{place:05d}"


def step_in(tag: bytes) -> int:
    """The number of the list from which a message came, in the tag of its claim."""
    return int(tag.split(b":")[-2])
