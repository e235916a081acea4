"""A bound on what is unsettled that consumers share."""

from __future__ import annotations

import asyncio

from umbel.brokers.redis.claims import Claim, Claims
from umbel.brokers.redis.window import Window
from umbel.model import Delivery, Envelope


def take(claims: Claims, count: int) -> None:
    for _ in range(count):
        delivery = Delivery(Envelope("kombu", "", b"", b""), "mail", f"{len(claims)}")
        claims.add(Claim(delivery, 0, (0, len(claims))))


def joined(size: int, count: int) -> tuple[Window, list[tuple[Claims, asyncio.Event]]]:
    """A window, and those who share it."""
    window, seats = Window(size), [(Claims(), asyncio.Event()) for _ in range(count)]
    for claims, _ in seats:
        window.join(claims)
    return window, seats


def test_what_is_held_and_what_is_being_claimed_counts_whoever_does() -> None:
    window, ((left, wake), (right, other)) = joined(10, 2)
    take(left, 3)
    assert window.room(right, other) == 7
    with window.asking(right, 5):
        assert window.room(left, wake) == 2
        take(right, 5)
    assert window.room(left, wake) == 2


def test_who_was_refused_is_woken_when_there_is_room() -> None:
    window, ((left, wake), (right, other)) = joined(1, 2)
    with window.asking(left, 1):
        assert window.room(right, other) == 0
        assert not other.is_set()
    assert other.is_set()
    assert not wake.is_set()


def test_who_has_claimed_longest_ago_comes_first() -> None:
    window, ((left, wake), (right, other)) = joined(1, 2)
    with window.asking(left, 1):
        assert window.room(right, other) == 0
        take(left, 1)
    assert window.room(left, wake) == 0
    left.settled(["0"])
    window.stir()
    assert window.room(left, wake) == 0  # the other has waited for longer
    assert window.room(right, other) == 1
    with window.asking(right, 1):
        take(right, 1)
    right.settled(["0"])
    assert window.room(left, wake) == 1


def test_who_has_left_holds_nobody_up_and_what_it_holds_still_counts() -> None:
    window, ((left, wake), (right, other)) = joined(2, 2)
    take(left, 1)
    with window.asking(right, 1):
        assert window.room(left, wake) == 0
    window.leave(left)
    assert window.room(right, other) == 1


def test_a_window_that_grows_wakes() -> None:
    window, ((claims, wake),) = joined(0, 1)
    assert window.room(claims, wake) == 0
    window.size = 3
    window.stir()
    assert wake.is_set()
    assert window.room(claims, wake) == 3
