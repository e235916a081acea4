"""A full disk, locks held elsewhere, deaths and forks: what callers are told, and that nothing is lost."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
from pathlib import Path

import anyio
import pytest

from tests.stores.sqlite.conftest import Act, finish, line, messages, query, seat_of
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import StoreBusy, StoreFull
from umbel.model import ACK, Envelope, Route, SealedRecord, Settlement
from umbel.stores.sqlite.seats import Seat
from umbel.stores.sqlite.store import SqliteStore
from umbel.testing.conformance.harness import listening, settle_all, take, until

IMPATIENT = {"broker_publish_timeout": 0.3}


def fill_disk(seat: Seat) -> None:
    """Let the connection use no more pages than the file has."""
    with seat as connection:
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")


def free_disk(seat: Seat) -> None:
    with seat as connection:
        connection.execute("PRAGMA max_page_count = 1000000")


class TestFullDisk:
    def test_a_message_that_finds_no_room_is_refused_and_the_others_stay(
        self, broker: SqliteBroker, store: SqliteStore, path: Path
    ) -> None:
        broker.publish_now(messages(3))
        fill_disk(store._writer)
        big = (Route("q"), Envelope("plain", "big", b"", bytes(100_000)))
        for _ in range(2):
            with pytest.raises(StoreFull, match=rf"no room left on the disk of {path}"):
                broker.publish_now([big])
            with pytest.raises(StoreFull):
                broker.publish_now([*messages(2), big])
        assert store.size("q") == 3
        free_disk(store._writer)
        broker.publish_now([big])
        assert store.size("q") == 4

    def test_a_record_that_finds_no_room_is_refused(self, broker: SqliteBroker, store: SqliteStore) -> None:
        store.store([SealedRecord("one", "SUCCESS", b"1")])
        fill_disk(store._writer)
        with pytest.raises(StoreFull):
            store.store([SealedRecord("two", "SUCCESS", b"2"), SealedRecord("big", "SUCCESS", bytes(100_000))])
        assert set(store.load(["one", "two", "big"])) == {"one"}

    def test_a_log_that_fills_the_disk_is_emptied_first(
        self, broker: SqliteBroker, store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker.publish_now(messages(300))
        fill_disk(store._writer)
        shrink = store.make_room

        def shrink_and_free() -> bool:
            free_disk(store._writer)
            return shrink()

        monkeypatch.setattr(store, "make_room", shrink_and_free)
        broker.publish_now([(Route("q"), Envelope("plain", "big", b"", bytes(100_000)))])
        assert store.size("q") == 301
        store.store([SealedRecord("id", "SUCCESS", b"")])

    async def test_a_settlement_that_finds_no_room_took_no_effect_and_can_be_repeated(
        self, broker: SqliteBroker, store: SqliteStore
    ) -> None:
        broker.publish_now(messages(2))
        async with broker, listening(await broker.consume(["q"], 2)) as ear:
            held = await ear.hears(2)
            seat = seat_of(ear.consumer)
            fill_disk(seat)
            records = [SealedRecord(delivery.envelope.id, "SUCCESS", bytes(200_000)) for delivery in held]
            settlements = [Settlement(d, ACK, messages(1), r) for d, r in zip(held, records, strict=True)]
            with pytest.raises(StoreFull):
                await ear.consumer.settle(settlements)
            assert store.load(["id-0", "id-1"]) == {}
            assert store.size("q") == 0
            free_disk(seat)
            await ear.consumer.settle(settlements)
            assert set(store.load(["id-0", "id-1"])) == {"id-0", "id-1"}
            await ear.hears(4)

    async def test_a_consumer_that_cannot_claim_says_so_once_and_goes_on_when_there_is_room(
        self, broker: SqliteBroker, store: SqliteStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with broker, listening(await broker.consume(["q"], 3000)) as ear:
            seat = seat_of(ear.consumer)
            await ear.consumer.resize(0)
            broker.publish_now(messages(3000))
            fill_disk(seat)

            async def refused() -> bool:
                return "no room left" in caplog.text

            with caplog.at_level(logging.WARNING, "umbel.stores"):
                await ear.consumer.resize(3000)
                await until(refused)
                with anyio.move_on_after(0.3):
                    await ear.hears(1)
                assert ear.deliveries == []
                free_disk(seat)
                await ear.hears(3000)
            assert caplog.text.count("no room left") == 1
            assert "the store works again" in caplog.text


class TestLockHeldElsewhere:
    @pytest.fixture
    def hasty(self, url: str) -> SqliteBroker:
        return SqliteBroker(url, IMPATIENT)

    def test_a_call_gives_up_at_its_deadline(self, hasty: SqliteBroker, act: Act, path: Path) -> None:
        hasty.publish_now(messages(1))
        locker = act("lock", path)
        assert line(locker) == ["locked"]
        for pairs in (messages(1), messages(3)):
            with pytest.raises(StoreBusy, match=rf"another process held the lock of {path}"):
                hasty.publish_now(pairs)
        with pytest.raises(StoreBusy):
            hasty.keeper.store([SealedRecord("id", "SUCCESS", b"")])
        assert locker.poll() is None
        finish(locker)
        hasty.publish_now(messages(1))
        assert hasty.keeper.size("q") == 2

    def test_a_call_waits_for_a_lock_that_is_let_go_in_time(self, broker: SqliteBroker, act: Act, path: Path) -> None:
        broker.publish_now(messages(1))
        locker = act("lock", path)
        line(locker)
        begun = threading.Event()

        def publish() -> None:
            begun.set()
            broker.publish_now(messages(1))

        thread = threading.Thread(target=publish)
        thread.start()
        begun.wait()
        finish(locker)
        thread.join()
        assert broker.keeper.size("q") == 2

    def test_many_threads_that_wait_behind_one_another_share_one_deadline(
        self, hasty: SqliteBroker, act: Act, path: Path
    ) -> None:
        hasty.publish_now(messages(1))
        locker = act("lock", path)
        line(locker)
        refusals: list[StoreBusy] = []

        def publish() -> None:
            with pytest.raises(StoreBusy) as caught:
                hasty.publish_now(messages(1))
            refusals.append(caught.value)

        threads = [threading.Thread(target=publish) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            # One after the other they would take twelve times as long as one.
            thread.join(timeout=4 * IMPATIENT["broker_publish_timeout"])
        assert len(refusals) == 12
        finish(locker)

    def test_reading_needs_no_lock(self, hasty: SqliteBroker, act: Act, path: Path) -> None:
        hasty.publish_now(messages(2))
        locker = act("lock", path)
        line(locker)
        assert hasty.keeper.size("q") == 2
        assert hasty.keeper.load(["id-0"]) == {}
        finish(locker)

    async def test_a_consumer_goes_on_when_the_lock_is_let_go(
        self, hasty: SqliteBroker, act: Act, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with hasty, listening(await hasty.consume(["q"], 2)) as ear:
            hasty.publish_now(messages(1))
            held = await ear.hears(1)
            await ear.consumer.resize(0)
            hasty.publish_now(messages(1))
            locker = act("lock", path)
            line(locker)
            await ear.consumer.resize(2)
            with pytest.raises(StoreBusy):
                await settle_all(ear.consumer, held, ACK)
            finish(locker)
            await ear.hears(2)
            await settle_all(ear.consumer, held, ACK)
        assert await hasty.size("q") == 1

    async def test_one_settlement_that_cannot_be_written_does_not_hinder_its_neighbours(
        self, broker: SqliteBroker, store: SqliteStore
    ) -> None:
        broker.publish_now(messages(3))
        async with broker, listening(await broker.consume(["q"], 3)) as ear:
            held = await ear.hears(3)
            outcomes: dict[str, str] = {}

            async def settle(at: int, payload: object) -> None:
                record = SealedRecord(held[at].envelope.id, "SUCCESS", payload)  # type: ignore[arg-type]
                try:
                    await ear.consumer.settle([Settlement(held[at], ACK, (), record)])
                except sqlite3.Error as error:
                    outcomes[record.id] = type(error).__name__
                else:
                    outcomes[record.id] = "settled"

            async with anyio.create_task_group() as group:
                group.start_soon(settle, 0, b"good")
                group.start_soon(settle, 1, object())
                group.start_soon(settle, 2, b"good")
            assert outcomes.keys() == {"id-0", "id-1", "id-2"}
            assert [outcomes["id-0"], outcomes["id-2"]] == ["settled", "settled"]
            assert outcomes["id-1"] != "settled"
            assert set(store.load(["id-0", "id-1", "id-2"])) == {"id-0", "id-2"}
        assert await broker.size("q") == 1


class TestDeathsAndForks:
    async def test_what_a_killed_publisher_was_told_is_accepted_is_there(
        self, broker: SqliteBroker, act: Act, url: str
    ) -> None:
        publisher = act("publish", url, 100_000)
        sent = [line(publisher)[1] for _ in range(500)]
        os.killpg(publisher.pid, signal.SIGKILL)
        assert publisher.stdout is not None
        sent += [words.split()[1] for words in publisher.stdout.read().splitlines() if len(words) == 41]
        stored = {id for (id,) in query(broker.keeper, "SELECT id FROM messages")}
        assert set(sent) <= stored

    def test_processes_that_all_come_first_make_one_store(self, broker: SqliteBroker, act: Act, url: str) -> None:
        publishers = [act("publish", url, 5) for _ in range(8)]
        assert sum(len(finish(publisher)) for publisher in publishers) == 40
        assert broker.keeper.size("q") == 40

    def test_forked_children_publish_beside_their_parent(self, broker: SqliteBroker, act: Act, url: str) -> None:
        assert finish(act("multiply", url, 50)) == [["0", "0", "0"]]
        ids = [id for (id,) in query(broker.keeper, "SELECT id FROM messages")]
        names = ("before", "thread", "parent", "child0", "child1", "child2")
        assert sorted(ids) == sorted(f"{name}-{number}" for name in names for number in range(50))
        assert query(broker.keeper, "PRAGMA integrity_check") == [("ok",)]

    def test_a_fork_beside_a_consumers_thread_harms_neither(self, broker: SqliteBroker, act: Act, url: str) -> None:
        broker.publish_now(messages(100))
        assert finish(act("fork_while_consuming", url)) == [["0"] * 5]
        assert broker.keeper.size("q") == 0

    async def test_a_consumer_whose_loop_is_gone_gives_back_what_it_held(self, broker: SqliteBroker) -> None:
        broker.publish_now(messages(2))

        async def leave_it_open() -> None:
            consumer = await broker.consume(["q"], 2)
            await anext(aiter(consumer))

        thread = threading.Thread(target=anyio.run, args=(leave_it_open,))
        thread.start()
        thread.join()
        async with broker:
            assert [delivery.redelivered for delivery in await take(broker, "q", 2)] == [False, False]
