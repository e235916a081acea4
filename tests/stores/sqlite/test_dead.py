"""Dead letters in the file: what expires, what is too many, and that a replay is one step."""

from __future__ import annotations

import logging

import pytest

from tests.stores.sqlite.conftest import messages, query
from umbel.brokers.sqlite import SqliteBroker
from umbel.clock import SystemClock
from umbel.model import Envelope, Route, SealedRecord
from umbel.stores.sqlite import sweeping, withdrawing
from umbel.stores.sqlite.store import SqliteStore
from umbel.testing.conformance.dead_letters import bury
from umbel.testing.conformance.harness import listening, until

DAY = 86400.0


class HandClock(SystemClock):
    """A wall clock that can be set."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


def envelopes(count: int, name: str = "id") -> list[Envelope]:
    return [Envelope("plain", f"{name}-{number}", b"head", b"body") for number in range(count)]


def kept(store: SqliteStore) -> list[str]:
    return [id for (id,) in query(store, "SELECT id FROM dead ORDER BY number")]


async def test_a_consuming_node_sweeps_what_was_kept_for_thirty_days(
    broker: SqliteBroker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = store.clock = HandClock()
    monkeypatch.setattr(sweeping, "BATCH", 3)
    async with broker:
        await bury(broker, "q", envelopes(10, "old"))
        clock.ahead = 29 * DAY
        await bury(broker, "q", envelopes(1, "new"))
        assert len(kept(store)) == 11
        clock.ahead = 30 * DAY + 1

        async def swept() -> bool:
            return kept(store) == ["new-0"]

        async with listening(await broker.consume(["q"], 1)):
            await until(swept)


@pytest.mark.parametrize("never", [None, 0])
async def test_they_can_be_kept_for_ever(url: str, never: object) -> None:
    broker = SqliteBroker(url, {"dead_letter_expires": never})
    store = broker.keeper
    clock = store.clock = HandClock()
    async with broker:
        await bury(broker, "q", envelopes(1))
        clock.ahead = 10_000 * DAY
        sweeping.Sweeper(store).sweep()
        assert len(await broker.dead_letters()) == 1


async def test_the_oldest_of_a_queue_go_when_there_are_too_many_and_that_is_said_once(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = SqliteBroker(url, {"dead_letter_max": 5})
    store = broker.keeper
    monkeypatch.setattr(sweeping, "BATCH", 2)
    async with broker:
        await bury(broker, "few", envelopes(5, "few"))
        await bury(broker, "many", envelopes(12, "many"))
        with caplog.at_level(logging.WARNING, "umbel.stores"):
            sweeping.Sweeper(store).sweep()
            assert kept(store) == [f"few-{n}" for n in range(5)] + [f"many-{n}" for n in range(7, 12)]
            await bury(broker, "many", envelopes(1, "again"))
            sweeping.Sweeper(store).sweep()
    assert kept(store)[5:] == [*[f"many-{n}" for n in range(8, 12)], "again-0"]
    said = [record.getMessage() for record in caplog.records]
    assert said == ["queue many has more than 5 dead letters (dead_letter_max): the oldest are dropped"]


async def test_a_replay_that_fails_in_the_middle_leaves_every_letter_where_it_was(
    broker: SqliteBroker, store: SqliteStore
) -> None:
    async with broker:
        await bury(broker, "q", envelopes(3))
        letters = await broker.dead_letters()
        broken = Envelope("plain", None, b"", b"")  # type: ignore[arg-type]  # no row takes it
        with pytest.raises(Exception, match="NOT NULL"):
            await broker.replay([(letters[0].number, letters[0].envelope), (letters[1].number, broken)])
        assert await broker.dead_letters() == letters
        assert await broker.size("q") == 0


async def test_taking_messages_back_checks_again_whose_number_it_is(
    broker: SqliteBroker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.publish_now(messages(1))
    read = store.read

    def replaced(work: object) -> object:
        found: object = read(work)  # type: ignore[arg-type]
        store.purge("q")
        broker.publish_now([(Route("q"), Envelope("plain", "another", b"", b""))])
        return found

    monkeypatch.setattr(store, "read", replaced)
    assert withdrawing.withdraw(store, ["id-0"], lambda envelope: [SealedRecord(envelope.id, "REVOKED", b"")]) == []
    assert query(store, "SELECT seq, id FROM messages") == [(1, "another")]
