"""What a node has claimed on a Redis server and has not settled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from umbel.model import Delivery
from umbel.wire.kombu import same


class Claim:
    """One delivery. ``tag`` is its name in the store now; ``step`` is the number of the list that it came from, and
    ``order`` says when it was claimed. A ``lost`` one may be somebody else's."""

    __slots__ = ("delivery", "lost", "order", "step", "tag")

    def __init__(self, delivery: Delivery, step: int, order: tuple[int, int]) -> None:
        self.delivery = delivery
        self.tag: str = delivery.receipt
        self.step = step
        self.order = order
        self.lost = False


class Claims:
    """By receipt, which is the first tag of a delivery."""

    def __init__(self) -> None:
        self._held: dict[str, Claim] = {}
        self._lost: dict[str, Claim] = {}
        """Those of them that are lost, by the id of the task."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._held.values())

    def get(self, receipt: object) -> Claim | None:
        """The claim, if it is not settled."""
        return self._held.get(receipt) if isinstance(receipt, str) else None

    def add(self, claim: Claim) -> bool:
        """Whether it is new: a lost one that has come back goes on under its new tag, and is not handed out again."""
        envelope = claim.delivery.envelope
        known = self._lost.get(envelope.id) if self._lost and envelope.id else None
        if known is not None and same(known.delivery.envelope.head, envelope.head):
            del self._lost[envelope.id]
            known.tag, known.step, known.lost = claim.tag, claim.step, False
            return False
        self._held[claim.delivery.receipt] = claim
        return True

    def settled(self, receipts: Iterable[str]) -> None:
        """These have their verdicts."""
        for receipt in receipts:
            claim = self._held.pop(receipt, None)
            if claim is not None and claim.lost:
                self._lost.pop(claim.delivery.envelope.id, None)

    def lose(self, claims: Iterable[Claim]) -> None:
        """The store has these no more under their tags."""
        for claim in claims:
            if claim.delivery.receipt in self._held:
                claim.lost = True
                self._lost[claim.delivery.envelope.id] = claim

    def lost(self) -> set[str]:
        """The ids of tasks whose claims are lost."""
        return set(self._lost)
