"""What one consumer was handed and has not settled, which outlives the connection over which it came."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from umbel.brokers.amqp.copies import BACK, known_starts
from umbel.errors import DecodeError
from umbel.model import Delivery, Settlement
from umbel.wire.amqp import is_copy
from umbel.wire.marks import RESENT

MOST_LATE = 10_000
"""Settlements of lost deliveries that are kept for the case that they come back; the oldest go first."""


_RESENT = RESENT.encode()


class Receipt(NamedTuple):
    """What names a delivery: the channel over which it came first, which ``generation`` counts, and its tag there."""

    generation: int
    tag: int


class Claim:
    """One delivery. ``tag`` settles it on the channel of now, ``shelter`` in a private queue; with neither it is lost.

    ``twins`` are the tags of copies of it that came while it was held; ``since`` is when it was claimed, in the loop's
    seconds; ``starts`` counts those that are known of it, with the one that it is held for; ``copied`` says whether
    there is a copy in its place, which outlives the shelter; ``ending``, whether its verdict is being carried
    out, and ``leaving``, whether a copy is sent for that, for whoever gets it next.
    """

    __slots__ = ("copied", "delivery", "ending", "leaving", "shelter", "since", "starts", "tag", "twins")

    def __init__(self, delivery: Delivery, tag: int, since: float) -> None:
        self.delivery = delivery
        self.tag: int | None = tag
        self.shelter: int | None = None
        self.since = since
        self.twins: list[int] = []
        self.starts = 1 + known_starts(delivery)
        self.copied = False
        self.ending = False
        self.leaving = False

    @property
    def lost(self) -> bool:
        """Whether the server has it, and may give it to anybody."""
        return self.tag is None and self.shelter is None


class Claims:
    """By receipt, which stays the same when a delivery is lost and comes back."""

    def __init__(self) -> None:
        self._held: dict[Receipt, Claim] = {}
        self._late: OrderedDict[Receipt, Settlement] = OrderedDict()
        """How deliveries ended while they were lost: what comes back is settled so and not run."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._held.values())

    def __contains__(self, receipt: Receipt) -> bool:
        return receipt in self._held

    def add(self, deliveries: Iterable[Delivery], now: float) -> list[Claim]:
        """These are handed out."""
        claims = [Claim(delivery, delivery.receipt.tag, now) for delivery in deliveries]
        self._held.update({claim.delivery.receipt: claim for claim in claims})
        return claims

    def get(self, receipt: Receipt) -> Claim | None:
        """The claim, if it is not settled."""
        return self._held.get(receipt)

    def settled(self, receipt: Receipt) -> Claim:
        """It has its verdict."""
        return self._held.pop(receipt)

    def ended_lost(self, settlement: Settlement) -> None:
        """A lost one has its verdict, which is kept for the case that it comes back."""
        receipt = settlement.delivery.receipt
        self._held.pop(receipt, None)
        if settlement.verdict.kind in BACK:
            return
        self._late[receipt] = settlement
        while len(self._late) > MOST_LATE:
            self._late.popitem(last=False)

    def lose(self) -> None:
        """The channel is gone."""
        for claim in self._held.values():
            claim.tag = claim.shelter = None
            claim.twins.clear()

    def recognise(self, delivery: Delivery, tag: int, resent: bool, now: float) -> Claim | Settlement | None:
        """What is known of a message that came again: the claim to which it belongs, which goes on; or how it had ended
        when it was lost, which is forgotten here. A copy of one that is held is settled with it."""
        for claim in self._held.values():
            twin = not claim.leaving and (resent or _RESENT in claim.delivery.envelope.head)
            if (claim.lost or twin) and same(claim.delivery, delivery):
                if claim.lost:
                    claim.tag, claim.since = tag, now
                else:
                    claim.twins.append(tag)
                return claim
        for receipt, settlement in self._late.items():
            if same(settlement.delivery, delivery):
                del self._late[receipt]
                claim = self._held[receipt] = Claim(settlement.delivery, tag, now)
                return settlement
        return None

    def older(self, than: float) -> list[Claim]:
        """Those that are held since before ``than``, in the loop's seconds."""
        return [claim for claim in self._held.values() if claim.since < than and not claim.lost]


def same(one: Delivery, other: Delivery) -> bool:
    """Whether both are the same attempt of the same task, whatever a server or a sender has added on the way."""
    a, b = one.envelope, other.envelope
    if a.id != b.id or not a.id or one.queue != other.queue or a.body != b.body:
        return False
    try:
        return is_copy(a.head, b.head)
    except DecodeError:
        return False


class Waiting:
    """What has come and was not handed out yet, in order."""

    def __init__(self) -> None:
        self._deliveries: deque[Delivery] = deque()
        self._front: tuple[Receipt, float] | None = None
        """The first of them at the last look, and when it was first seen there."""

    def __len__(self) -> int:
        return len(self._deliveries)

    def add(self, delivery: Delivery) -> None:
        """It has come."""
        self._deliveries.append(delivery)

    def next(self, count: int) -> list[Delivery]:
        """Up to ``count``, to hand out."""
        waiting = self._deliveries
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    def empty(self) -> Collection[int]:
        """Drop all; gives their tags."""
        tags = [delivery.receipt.tag for delivery in self._deliveries]
        self._deliveries.clear()
        return tags

    def stands(self, now: float) -> float:
        """For how many seconds the first has not changed, as far as looks have seen; 0 where there is none."""
        if not self._deliveries:
            self._front = None
            return 0.0
        receipt = self._deliveries[0].receipt
        if self._front is None or self._front[0] != receipt:
            self._front = (receipt, now)
        return now - self._front[1]
