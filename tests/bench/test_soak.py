"""Soaks a worker for a moment, and looks whether growth would be noticed."""

from __future__ import annotations

import pytest

from bench import soak
from bench.soak import Sample, complaints

pytestmark = pytest.mark.slow


def test_nothing_grows_over_twenty_thousand_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--tasks", "20000", "--growth", "4"]) == 0, capsys.readouterr().out
    assert "everything held" in capsys.readouterr().out


def samples(**growing: float) -> list[Sample]:
    """A hundred looks, a second apart; ``growing`` fields grow by so much from one to the next."""
    still = Sample(0, 0, 50.0, 60.0, 1000, 1, 0, 3, 20, False)
    grown = {name: [getattr(still, name) + step * at for at in range(100)] for name, step in growing.items()}
    looks = [still._replace(seconds=at, done=10_000 * at) for at in range(100)]
    return [look._replace(**{name: steps[at] for name, steps in grown.items()}) for at, look in enumerate(looks)]


def test_what_stays_as_it_is_is_no_complaint() -> None:
    assert list(complaints(samples(), 0, 1.0)) == []


@pytest.mark.parametrize(
    ("growing", "complaint"),
    [
        ({"memory": 0.1}, "the worker's memory grew by 2.50 MB"),
        ({"results": 5000}, "results that are kept grew"),
        ({"log": 2}, "the database's log grew to 258 MB"),
        ({"nodes": 1}, "nodes: 51 in the middle, 100 at the end"),
        ({"marks": 1}, "marks: "),
        ({"files": 1}, "files: "),
        ({"descriptors": 1}, "descriptors: "),
    ],
)
def test_what_grows_is_a_complaint(growing: dict[str, float], complaint: str) -> None:
    (said,) = complaints(samples(**growing), 0, 1.0)
    assert said.startswith(complaint)


def test_what_the_first_checkpoint_takes_is_no_complaint_and_more_is_one() -> None:
    looks = samples()
    after = [look._replace(files=4, descriptors=23, checkpointing=True) for look in looks[70:]]
    assert list(complaints([*looks[:70], *after], 0, 1.0)) == []
    more = [look._replace(files=5) for look in after]
    assert list(complaints([*looks[:70], *more], 0, 1.0)) == ["files: 3 in the middle, 5 at the end"]


def test_results_that_outlive_their_time_are_a_complaint() -> None:
    assert list(complaints(samples(), 7, 1.0)) == ["7 results are kept beyond their time"]
