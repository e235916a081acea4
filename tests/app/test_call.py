"""Tests of call options."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from umbel.call import NO_OPTIONS, due_time, expiry_time
from umbel.errors import ConfigurationError, UnknownOption

NOW = datetime(2030, 6, 1, 12, tzinfo=UTC)
EAST = timezone(timedelta(hours=2))


def test_an_unknown_option_names_the_nearest() -> None:
    with pytest.raises(UnknownOption, match="did you mean 'countdown'"):
        NO_OPTIONS.with_(countdwon=3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"countdown": float("nan")},
        {"countdown": float("inf")},
        {"countdown": "3"},
        {"countdown": True},
        {"countdown": 1, "eta": NOW},
        {"soft_time_limit": 9, "time_limit": 3},
        {"eta": 5},
        {"expires": float("nan")},
        {"priority": 10},
        {"priority": -1},
        {"priority": 1.5},
        {"priority": True},
        {"queue": ""},
        {"queue": "a\ud800"},
        {"task_id": 7},
        {"headers": [1]},
        {"properties": "x"},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        NO_OPTIONS.with_(**wrong)


def test_options_chain_without_changing_each_other() -> None:
    first = NO_OPTIONS.with_(queue="a", priority=3)
    second = first.with_(queue="b")
    assert (first.queue, second.queue, second.priority) == ("a", "b", 3)


def test_a_countdown_becomes_a_time_in_the_apps_zone() -> None:
    due = due_time(NO_OPTIONS.with_(countdown=1.5), NOW.timestamp(), EAST)
    assert due == NOW + timedelta(seconds=1.5)
    assert due is not None
    assert due.utcoffset() == timedelta(hours=2)


def test_a_countdown_of_nothing_or_less_means_now() -> None:
    for seconds in (0, -5):
        assert due_time(NO_OPTIONS.with_(countdown=seconds), NOW.timestamp(), UTC) is None


def test_a_naive_time_is_in_the_apps_zone_and_warned_about() -> None:
    naive = datetime(2030, 6, 1, 14)  # noqa: DTZ001  the point of the test
    with pytest.warns(UserWarning, match=r"eta=2030-06-01T14:00:00 names no time zone .* UTC\+02:00"):
        assert due_time(NO_OPTIONS.with_(eta=naive), NOW.timestamp(), EAST) == NOW
    with pytest.warns(UserWarning, match="expires=2030"):
        assert expiry_time(naive, NOW.timestamp(), EAST) == NOW


def test_a_time_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="beyond the year 9999"):
        due_time(NO_OPTIONS.with_(countdown=1e15), NOW.timestamp(), UTC)
    with pytest.raises(ConfigurationError, match="beyond the year 9999"):
        expiry_time(1e15, NOW.timestamp(), UTC)


def test_the_last_year_there_is_can_be_meant() -> None:
    last = datetime(9999, 12, 31, tzinfo=UTC)
    assert due_time(NO_OPTIONS.with_(eta=last), NOW.timestamp(), UTC) == last
