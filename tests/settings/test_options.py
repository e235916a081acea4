"""Each setting takes what it declares, and says what is wrong with anything else."""

from __future__ import annotations

import zoneinfo
from collections import Counter
from datetime import UTC, timedelta
from typing import Any

import pytest

from umbel.errors import ConfigurationError
from umbel.settings.kinds import TEXT, UNSET
from umbel.settings.option import Option
from umbel.settings.options import MODULE_PREFIXES, OPTIONS, SUBJECTS


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_a_default_is_a_value_that_the_setting_takes_and_keeps_as_it_is(option: Option) -> None:
    assert option.accept(option.default, "default") == option.default


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)
def test_every_setting_says_what_it_means_and_what_its_numbers_count(option: Option) -> None:
    assert option.doc.endswith(".")
    if isinstance(option.default, (int, float)) and not isinstance(option.default, bool) and option.kind is not TEXT:
        assert option.unit


def test_no_setting_is_declared_twice() -> None:
    declared = Counter(option.name for subject in SUBJECTS for option in subject.OPTIONS)
    assert declared == Counter(list(OPTIONS))


def test_the_prefixes_of_modules_cover_the_settings_that_have_one() -> None:
    plain = {"accept_content", "enable_utc", "imports", "include", "middleware", "timezone"}
    assert {name for name in OPTIONS if not name.startswith(MODULE_PREFIXES)} == plain


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("broker_url", None, None),
        ("broker_url", "memory://", "memory://"),
        ("result_backend", UNSET, UNSET),
        ("result_backend", None, None),
        ("task_acks_late", False, False),
        ("task_reject_on_worker_lost", None, None),
        ("task_default_priority", 9, 9),
        ("imports", ["shop.mail"], ("shop.mail",)),
        ("accept_content", {"pickle", "json"}, ("json", "pickle")),
        ("result_expires", timedelta(hours=1), 3600.0),
        ("result_expires", 0, None),
        ("result_expires", None, None),
        ("broker_publish_timeout", 2, 2.0),
        ("worker_grace", 0, 0.0),
        ("worker_pool", "prefork", "processes"),
        ("worker_pool", "Solo", "solo"),
        ("worker_concurrency", 4, 4),
        ("sqlite_synchronous", "full", "FULL"),
        ("timezone", "Europe/Vienna", "Europe/Vienna"),
        ("timezone", zoneinfo.ZoneInfo("Asia/Tokyo"), "Asia/Tokyo"),
        ("timezone", UTC, "UTC"),
    ],
)
def test_a_value_from_python_is_kept(name: str, value: Any, kept: Any) -> None:
    found = OPTIONS[name].accept(value, "constructor")
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        *[("task_acks_late", text, True) for text in ("true", "True", "1", "yes", " on ")],
        *[("task_acks_late", text, False) for text in ("false", "0", "no", "OFF")],
        ("task_reject_on_worker_lost", "none", None),
        ("task_reject_on_worker_lost", "no", False),
        ("task_max_starts", "5", 5),
        ("broker_publish_timeout", "0.5", 0.5),
        ("result_expires", "3600", 3600.0),
        ("result_expires", "0", None),
        ("result_expires", "none", None),
        ("result_backend", "None", None),
        ("broker_url", " memory:// ", "memory://"),
        ("accept_content", "json, msgpack,", ("json", "msgpack")),
        ("imports", "", ()),
        ("worker_concurrency", "none", None),
        ("worker_pool", "prefork", "processes"),
        ("timezone", "Asia/Tokyo", "Asia/Tokyo"),
    ],
)
def test_a_text_is_cast_to_what_the_setting_keeps(name: str, text: str, kept: Any) -> None:
    found = OPTIONS[name].read(text, "environment")
    assert found == kept
    assert type(found) is type(kept)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("broker_url", "umbel.db", "a URL"),
        ("broker_url", ["memory://"], "a URL"),
        ("result_backend", 7, "a URL"),
        ("task_acks_late", 1, "True or False"),
        ("task_acks_late", "yes", "True or False"),
        ("task_reject_on_worker_lost", "yes", "True or False, or None"),
        ("task_default_priority", 10, "a whole number from 0 to 9"),
        ("task_max_starts", 0, "a whole number from 1 up"),
        ("task_max_starts", 2.0, "a whole number from 1 up"),
        ("task_max_starts", True, "a whole number from 1 up"),
        ("worker_prefetch_multiplier", 0, "a whole number from 1 up"),
        ("broker_publish_timeout", 0, "a number of seconds"),
        ("broker_publish_timeout", "5", "a number of seconds"),
        ("worker_grace", -1, "a number of seconds"),
        ("worker_grace", float("nan"), "a number of seconds"),
        ("worker_grace", timedelta(seconds=-1), "a number of seconds"),
        ("result_expires", float("inf"), "a number of seconds"),
        ("result_expires", False, "a number of seconds"),
        ("imports", "shop", r"a list of one is written \['shop'\]"),
        ("imports", {"shop": 1}, "a list of texts"),
        ("imports", 3, "a list of texts"),
        ("imports", ["shop", 3], "a list of texts"),
        ("task_default_queue", " ", "a text that is not empty"),
        ("task_default_queue", None, "a text that is not empty"),
        ("worker_pool", "prefrok", "one of 'processes', 'threads'.*did you mean 'prefork'"),
        ("worker_pool", None, "one of 'processes', 'threads'"),
        ("timezone", "Europe/Wien", "no such time zone"),
        ("timezone", "../etc/passwd", "no such time zone"),
        ("timezone", 1, "the name of a time zone"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_was_expected_and_where_it_stands(
    name: str, value: Any, expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        OPTIONS[name].accept(value, "constructor")
    assert str(caught.value).startswith(f"{name}: expected ")
    assert str(caught.value).endswith("correct it there: constructor")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("task_acks_late", "maybe", "in a text: true, yes, on"),
        ("task_max_starts", "three", "a whole number"),
        ("task_max_starts", "0", "a whole number"),
        ("worker_grace", "30s", "a number of seconds"),
        ("worker_grace", "nan", "a number of seconds"),
        ("broker_url", "localhost", "a URL"),
        ("broker_url", "", "no value"),
        ("task_default_queue", " ", "no value"),
    ],
)
def test_a_text_that_cannot_be_cast_is_refused(name: str, text: str, expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        OPTIONS[name].read(text, "environment UMBEL_X")
    assert "environment UMBEL_X" in str(caught.value)


def test_a_refused_url_is_not_repeated_because_it_may_hold_a_password() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OPTIONS["broker_url"].accept("redis//:sesame@host", "constructor")
    assert "sesame" not in str(caught.value)


def test_a_long_refused_value_is_cut() -> None:
    with pytest.raises(ConfigurationError) as caught:
        OPTIONS["worker_pool"].accept("x" * 10_000, "constructor")
    assert len(str(caught.value)) < 400


def test_values_are_shown_as_people_write_them_and_without_secrets() -> None:
    assert OPTIONS["broker_url"].show("redis://:sesame@host/0") == "redis://:********@host/0"
    assert OPTIONS["result_backend"].show(UNSET) == "the broker's own store, where it keeps results"
    assert OPTIONS["result_backend"].show(None) == "None"
    assert OPTIONS["accept_content"].show(("json", "msgpack")) == "['json', 'msgpack']"
    assert OPTIONS["task_max_starts"].show(3) == "3"
    signing = Option("signing_key", TEXT, "", "Signs.", secret=True)
    assert signing.show("sesame") == "********"
    assert signing.show("") == ""


def test_a_refused_secret_is_not_repeated() -> None:
    signing = Option("signing_key", TEXT, "", "Signs.", secret=True)
    with pytest.raises(ConfigurationError) as caught:
        signing.accept(["sesame"], "constructor")
    assert "sesame" not in str(caught.value)
