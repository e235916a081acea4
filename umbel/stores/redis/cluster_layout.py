"""What the keys of a store on a Redis Cluster are called: what changes in one step stands in one slot."""

from __future__ import annotations

from collections.abc import Iterable

from umbel.stores.redis.layout import Layout
from umbel.wire.names import GROUP_KEYS, PRIORITY_STEPS


class ClusterLayout(Layout):
    """The keys behind ``prefix``; those of messages that were handed out or died are of ``queue``.

    A queue has a slot, and so has each task's record. All marks are in one, so that their changes are told in order; so
    are notes of progress, for one counts at another, chords, which are noted where they are joined, and the answers to
    those who have asked.
    """

    def __init__(self, prefix: str = "", queue: str = "") -> None:
        super().__init__(prefix)
        self.queue = queue
        own = self._of(queue)
        self.unacked, self.unacked_index, self.claims = f"{own}unacked", f"{own}unacked_index", f"{own}claims"
        self.letters, self.numbers, self.numbers_of = f"{own}dead", f"{own}dead.numbers", f"{own}dead.numbers."
        self.marks = [self._of("marks"), f"{self._of('marks')}.ends"]
        self.progress = self._of("progress")
        self.bindings = f"{self._of('bus')}bindings."
        self.inboxes = f"{self._of('bus')}inboxes"

    def _of(self, name: str) -> str:
        """How the keys begin that share the slot of this name."""
        return f"{self.prefix}{{umbel.{name}}}"

    @property
    def touched(self) -> list[str]:
        own = [
            self.letters,
            self.numbers,
            f"{self.numbers_of}{self.queue}",
            self.due(self.queue),
            self.reads(self.queue),
        ]
        return [*self.held, *own, *self.lists(self.queue)]

    @property
    def grave(self) -> list[str]:
        return [self.letters, self.numbers, f"{self.numbers_of}{self.queue}", *self.lists(self.queue)]

    def notes(self, ids: Iterable[str]) -> list[str]:
        return [self.progress, *dict.fromkeys(f"{self.progress}.{id}" for id in ids if id)]

    def inbox(self, name: str) -> str:
        return f"{self._of('bus')}{name}"

    def record(self, id: str) -> str:
        return f"{self._of(id)}record"

    def side(self, id: str) -> str:
        return f"{self._of(id)}record.life"

    def recording(self, id: str) -> list[str]:
        """The keys of a record, in the place of ``held``."""
        return [self.record(id), self.side(id), f"{self._of(id)}none"]

    def group(self, id: str) -> list[str]:
        own = f"{self._of('chords')}.{id}"
        return [f"{own}{end}" for end in (*GROUP_KEYS, ".joined", ".joiner", ".nested", ".body")]

    def desk(self, name: str) -> str:
        return f"{self._of('chords')}@{name}"

    def lists(self, queue: str) -> list[str]:
        name = f"{self._of(queue)}ready"
        return [name, *(f"{name}.{step}" for step in PRIORITY_STEPS[1:])]

    def due(self, queue: str) -> str:
        return f"{self._of(queue)}due"

    def reads(self, queue: str) -> str:
        return f"{self._of(queue)}reads"
