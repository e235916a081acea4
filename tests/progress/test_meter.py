"""Tests of how far a task is, as it is measured in memory."""

from __future__ import annotations

from umbel.model import Message
from umbel.progress.meter import Meter, rounded
from umbel.request import Request


def meter() -> Meter:
    return Meter(Request(Message(task="t", id="i")), 0.0)


def test_percent_is_the_part_that_is_done_and_never_goes_back() -> None:
    it = meter()
    assert it.percent() is None
    it.current, it.total = 30, 100
    assert it.percent() == 30.0
    it.total = 200
    assert it.percent() == 30.0
    it.current = 80
    assert it.percent() == 40.0


def test_a_total_that_was_too_small_turns_into_a_plain_count() -> None:
    it = meter()
    it.current, it.total = 9, 10
    assert it.percent() == 90.0
    it.current = 11
    facts = it.facts()
    assert (facts["current"], facts["total"]) == (11, None)


def test_stages_count_with_their_weights_when_the_whole_is_known() -> None:
    it = meter()
    it.plan = [("a", 1.0), ("b", 3.0)]
    it.enter("a", 1.0)
    it.current, it.total = 5, 10
    assert it.percent() == 12.5
    assert it.facts()["stage"] == {"i": 1, "n": 2, "label": "a"}
    it.leave()
    it.enter("b", 3.0)
    assert it.percent() == 25.0
    it.current, it.total = 1, 2
    assert it.percent() == 62.5


def test_a_stage_that_nobody_expected_does_not_take_percents_back() -> None:
    it = meter()
    it.plan = [("a", 1.0)]
    it.enter("a", 1.0)
    it.leave()
    assert it.percent() == 100.0
    it.enter("b", 1.0)
    assert it.percent() == 100.0
    assert it.facts()["stage"] == {"i": 2, "n": 2, "label": "b"}


def test_the_end_is_told_when_there_was_something_to_measure_and_in_round_figures() -> None:
    it = meter()
    it.total = 100
    told = []
    for second in range(6):
        it.current = 10 * second
        it.look(float(second))
        told.append(it.eta())
    assert told == [None, None, 8.0, 7.0, 6.0, 5.0]
    assert it.rate == 10.0


def test_speed_is_smoothed() -> None:
    it = meter()
    it.total = 1000
    for second, current in enumerate([0, 10, 20, 30, 130]):
        it.current = current
        it.look(float(second))
    assert it.rate is not None
    assert 10 < it.rate < 40


def test_seconds_are_rounded_up_the_more_the_longer() -> None:
    assert [rounded(each) for each in (0.2, 9.1, 41, 61, 3601)] == [1.0, 10.0, 45.0, 70.0, 3660.0]


def test_figures_that_no_page_can_show_are_left_out() -> None:
    it = meter()
    for odd in (float("nan"), float("inf"), "many", object(), 2**80):
        it.current = it.total = odd
        assert it.percent() is None
        assert it.facts()["current"] is None
    it.current, it.total = 5, 0
    assert it.percent() is None
    it.current, it.total = -5, 10
    assert it.percent() == 0.0


def test_what_is_told_is_all_of_one_stage_though_the_task_goes_on_meanwhile() -> None:
    class Hurried(Meter):
        """Its task begins the next stage between two looks at it."""

        hurried = False

        @property
        def total(self) -> object:
            if not self.hurried and self.went:
                self.hurried = True
                self.leave()
                self.enter("Write", 1.0)
                self.current = 5
            return 20

        @total.setter
        def total(self, value: object) -> None:
            return

    it = Hurried(Request(Message(task="t", id="i")), 0.0)
    it.enter("Read", 1.0)
    it.current = 19
    told = it.facts()
    assert it.hurried
    assert (told["current"], told["stage"]["label"]) == (5, "Write")


def test_what_is_told_before_the_task_has_finished_its_first_word_is_told_again() -> None:
    """Between a field and ``soon``: the flusher told that as the word of a task that says nothing."""
    it = meter()
    it.current = 3
    told = it.state()
    it.soon()
    assert it.state() != told
