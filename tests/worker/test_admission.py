"""Tests of what may run now."""

from datetime import UTC, datetime, timedelta

from umbel.model import Message, Postponed, Revoked
from umbel.worker.admission import admit

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_message_without_times_runs() -> None:
    assert admit(Message(task="t", id="1"), NOW.timestamp()) is None


def test_an_expired_message_is_revoked() -> None:
    outcome = admit(Message(task="t", id="1", expires=NOW), NOW.timestamp())
    assert outcome == Revoked("expired", expired=True)
    assert admit(Message(task="t", id="1", expires=NOW + timedelta(seconds=1)), NOW.timestamp()) is None


def test_a_message_before_its_time_is_postponed_to_it() -> None:
    eta = NOW + timedelta(hours=1)
    assert admit(Message(task="t", id="1", eta=eta), NOW.timestamp()) == Postponed(eta.timestamp())
    assert admit(Message(task="t", id="1", eta=NOW), NOW.timestamp()) is None


def test_expiry_counts_before_the_time_to_start() -> None:
    message = Message(task="t", id="1", eta=NOW + timedelta(hours=1), expires=NOW - timedelta(seconds=1))
    assert isinstance(admit(message, NOW.timestamp()), Revoked)
