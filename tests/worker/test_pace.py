"""Tests of how many deliveries are kept ready."""

from umbel.model import Delivery, Envelope
from umbel.worker.holding import Held, Holding
from umbel.worker.pace import DEEPEST, Pace


def delivery(name: str) -> Delivery:
    return Delivery(Envelope("plain", name, b"", b""), "q", None)


def test_nothing_goes_beyond_the_free_slots_before_anything_is_known() -> None:
    pace = Pace(None)
    assert (pace.ahead, pace.prefetch(4)) == (0, 4)


def test_the_window_is_deep_for_microseconds_and_closed_for_seconds() -> None:
    pace = Pace(None)
    pace.learn(0.001, 100)
    assert pace.ahead == DEEPEST
    assert pace.prefetch(2) == 2 * (1 + 3 * DEEPEST)
    for _ in range(20):
        pace.learn(1.0, 1)
    assert (pace.ahead, pace.prefetch(2)) == (0, 2)


def test_a_report_without_deliveries_teaches_nothing() -> None:
    pace = Pace(None)
    pace.learn(5.0, 0)
    assert pace.ahead == 0


def test_a_multiplier_pins_it() -> None:
    pace = Pace(4)
    pace.learn(100.0, 1)
    assert (pace.ahead, pace.prefetch(2)) == (3, 8)


def test_what_was_handed_out_and_not_started_comes_first_again() -> None:
    holding = Holding()
    holding.take(Held(delivery(name)) for name in "abc")
    first = holding.next(2)
    assert [held.delivery.envelope.id for held in first] == ["a", "b"]
    holding.put_back(first)
    assert [held.delivery.envelope.id for held in holding.empty()] == ["a", "b", "c"]
    assert len(holding) == 0
    assert isinstance(first[0], Held)
