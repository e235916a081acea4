"""Checks the arithmetic of the benchmarks, and that measurements take turns."""

from __future__ import annotations

import pytest

from bench.harness import Answer, Bar, Bench, Spread, column, ratios, spread
from bench.table import figure, table


def silent(rounds: int = 1, *, quick: bool = False) -> Bench:
    return Bench(rounds, quick, lambda line: None)


def test_a_spread_is_the_median_with_the_extremes() -> None:
    assert spread([5, 1, 9, 2, 4]) == Spread(4, 1, 9)
    assert spread([1, 2]) == Spread(1.5, 1, 2)
    with pytest.raises(ValueError, match="at least one value"):
        spread([])


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([10, 40], [5, 10]) == [2, 4]
    with pytest.raises(ValueError, match="shorter"):
        ratios([1, 2], [1])


@pytest.mark.parametrize(
    ("bar", "reached", "missed"), [(Bar("≥", 1.2), 1.2, 1.19), (Bar("≤", 70), 70, 70.1)], ids=["at least", "at most"]
)
def test_a_bar_is_met_by_its_own_limit_and_by_better(bar: Bar, reached: float, missed: float) -> None:
    assert bar.holds(reached)
    assert not bar.holds(missed)


def test_a_ratio_is_judged_by_the_median_of_the_rounds_and_not_by_the_ratio_of_medians() -> None:
    values = {"umbel": [10.0, 20.0, 90.0], "Huey": [20.0, 10.0, 30.0]}
    answer = Answer(question="drain", unit="tasks/s", values=values, bars=[Bar("≥", 1.5, "Huey")])
    assert answer.verdicts == [(answer.bars[0], Spread(2, 0.5, 3), True)]


def test_a_bar_may_be_held_against_the_best_of_several() -> None:
    values = {"umbel": [30.0, 30.0], "fast": [10.0, 5.0], "slow": [5.0, 15.0], "raw": [40.0, 40.0]}
    most = Bar("≥", 2, "the fastest", ("fast", "slow"))
    least = Bar("≤", 2, "the least", ("fast", "slow", "not measured this time"))
    assert most.judged(values) == Spread(2.5, 2, 3)
    assert least.judged(values) == Spread(6, 6, 6)


def test_an_absolute_bar_is_held_against_the_first_contestant() -> None:
    answer = Answer(question="memory", unit="MB", values={"umbel": [71.0], "Huey": [30.0]}, bars=[Bar("≤", 70)])
    assert [met for _, _, met in answer.verdicts] == [False]
    assert Answer(question="memory", unit="MB", values={"umbel": [71.0]}).verdicts == []


def test_measurements_take_turns() -> None:
    order: list[str] = []

    def measure(name: str) -> dict[str, float]:
        order.append(name)
        return {"rate": float(len(order))}

    runs = silent(rounds=3).in_turns("drain", {"a": lambda: measure("a"), "b": lambda: measure("b")})
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert column(runs, "rate") == {"a": [1, 3, 5], "b": [2, 4, 6]}


def test_every_measurement_is_told_of() -> None:
    told: list[str] = []
    Bench(2, False, told.append).in_turns("drain", {"a": dict})
    assert told == ["drain: a, round 1 of 2", "drain: a, round 2 of 2"]


def test_a_quick_try_measures_less() -> None:
    assert silent().much(20_000, 500) == 20_000
    assert silent(quick=True).much(20_000, 500) == 500


def test_the_table_says_who_reached_what_beside_the_bar() -> None:
    lines = table(
        [
            Answer(
                question="drain", unit="tasks/s", values={"umbel": [30.0], "Huey": [20.0]}, bars=[Bar("≥", 2, "Huey")]
            ),
            Answer(question="start", unit="s", values={"umbel": [0.4]}, bars=[Bar("≤", 0.5)]),
            Answer(question="CPU", unit="µs", values={"umbel": [47.0]}),
        ]
    ).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["drain", "tasks/s", "umbel", "30.0", "30.0 – 30.0", "1.50 (1.50 – 1.50)", "≥ 2 × Huey", "no"]
    assert cells[3] == ["", "tasks/s", "Huey", "20.0", "20.0 – 20.0", "", "", ""]
    assert cells[4][-3:] == ["", "≤ 0.5", "yes"]
    assert cells[5][-3:] == ["", "", ""]
    assert len({len(line) for line in lines}) == 1


def test_every_bar_of_a_question_has_a_line() -> None:
    bars = [Bar("≥", 2, "Huey"), Bar("≥", 20), Bar("≥", 40)]
    answer = Answer(question="drain", unit="tasks/s", values={"umbel": [30.0], "Huey": [20.0]}, bars=bars)
    lines = table([answer]).splitlines()[2:]
    assert [line.strip("|").split("|")[-1].strip() for line in lines] == ["no", "yes", "no"]


@pytest.mark.parametrize(("value", "text"), [(26144.4, "26,144"), (99.96, "100.0"), (3.318, "3.32")])
def test_figures_have_no_more_digits_than_are_of_use(value: float, text: str) -> None:
    assert figure(value) == text
