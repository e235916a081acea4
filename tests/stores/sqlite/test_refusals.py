"""Rarer refusals: of the file, of the folder of locks, and at the end of a consumer's life."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.stores.sqlite.conftest import Act, finish, line, messages, query
from umbel.brokers.sqlite import SqliteBroker
from umbel.brokers.sqlite.consumer import SqliteConsumer
from umbel.clock import SystemClock
from umbel.errors import StoreBusy, StoreError, StoreFull, StoreUnsuitable
from umbel.model import ACK, Settlement
from umbel.stores.bells import LoopBell
from umbel.stores.sqlite import faults, opening, presence
from umbel.stores.sqlite.claims import Claims
from umbel.stores.sqlite.locks import FileLock
from umbel.stores.sqlite.presence import LEASE, Presence
from umbel.stores.sqlite.reaper import Reaper
from umbel.stores.sqlite.store import SqliteStore
from umbel.testing.conformance.harness import listening, settle_all, until


class LateClock(SystemClock):
    """This machine's clock, some seconds on."""

    ahead = 0.0

    def boot(self) -> float:
        return super().boot() + self.ahead


@pytest.fixture
def hasty(url: str) -> SqliteBroker:
    return SqliteBroker(url, {"broker_publish_timeout": 0.2})


@pytest.fixture
def reaper(store: SqliteStore) -> Reaper:
    store.write(lambda connection: None)
    return Reaper(store, store.seat())


def lock_files(store: SqliteStore) -> list[str]:
    return [name for name in os.listdir(store.folder) if name[0].isdigit()]


class TestFile:
    def test_a_file_that_is_locked_while_it_is_made_is_busy(self, hasty: SqliteBroker, act: Act, path: Path) -> None:
        locker = act("lock", path)
        line(locker)
        with pytest.raises(StoreBusy):
            hasty.publish_now(messages(1))
        finish(locker)
        hasty.publish_now(messages(1))

    def test_a_file_that_another_program_has_for_itself_cannot_be_read(
        self, hasty: SqliteBroker, act: Act, path: Path
    ) -> None:
        hasty.publish_now(messages(1))
        hasty.keeper.rest()
        hog = act("monopolise", path)
        line(hog)
        with pytest.raises(StoreBusy):
            hasty.keeper.size("q")
        finish(hog)
        assert hasty.keeper.size("q") == 1

    def test_where_no_write_ahead_log_can_be_the_store_is_unsuitable(self) -> None:
        with (
            closing(sqlite3.connect(":memory:")) as connection,
            pytest.raises(StoreUnsuitable, match="write-ahead log"),
        ):
            opening._switch_to_wal(connection, "umbel.db", 1.0)

    @pytest.mark.parametrize(("free", "kind"), [(0, StoreFull), (1000, StoreError)])
    def test_a_failed_write_is_a_full_disk_where_no_room_is_left(
        self, path: Path, free: int, kind: type[StoreError], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Room:
            f_bavail = free

        monkeypatch.setattr(os, "statvfs", lambda folder: Room)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR, "SQLITE_IOERR"
        with pytest.raises(kind, match=str(path)) as caught:
            faults.raise_translated(error, str(path))
        assert type(caught.value) is kind

    def test_where_room_cannot_be_asked_for_the_disk_is_not_called_full(self, path: Path) -> None:
        assert not faults._no_room(str(path.parent / "none" / "umbel.db"))


class TestFolderOfLocks:
    def test_a_file_in_the_place_of_the_folder_is_told(self, reaper: Reaper, store: SqliteStore) -> None:
        Path(store.folder).write_text("in the way")
        with pytest.raises(StoreError, match=r"cannot list the lock files in .*umbel\.db-nodes"):
            reaper.sweep()

    def test_a_folder_in_the_place_of_a_lock_file_is_told(self, reaper: Reaper, store: SqliteStore) -> None:
        os.makedirs(os.path.join(store.folder, "16777300"))
        with pytest.raises(StoreError, match=r"cannot open the lock file .*16777300"):
            reaper.sweep()

    def test_a_lock_file_that_may_not_be_opened_says_nothing_and_the_row_counts(
        self, reaper: Reaper, store: SqliteStore, act: Act, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = store.clock = LateClock()
        store.publish(messages(1))
        holder = act("hold", url, 1)
        line(holder)

        def forbid(path: str, create: bool = True) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(FileLock, "take", forbid)
        reaper.sweep()
        assert store.size("q") == 0
        clock.ahead = LEASE + 1
        reaper.sweep()
        assert store.size("q") == 1

    async def test_a_folder_in_which_every_number_is_locked_is_somebody_elses(
        self, broker: SqliteBroker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(presence, "MOST_NODES", 2)
        os.makedirs(store.folder)
        locks = [FileLock.take(os.path.join(store.folder, str((1 << 24) + number))) for number in (1, 2)]
        with pytest.raises(StoreError, match=r"2 lock files .* are locked"):
            await broker.consume(["q"], 1)
        assert query(store, "SELECT count(*) FROM nodes") == [(0,)]
        for lock in locks:
            assert lock is not None
            lock.release()
        consumer = await broker.consume(["q"], 1)
        await consumer.close()

    def test_a_registration_that_is_undone_leaves_no_lock(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        claims = Claims(store, ["q"])
        make = claims._make_presence

        def make_and_fail(connection: sqlite3.Connection) -> Presence:
            made = make(connection)
            raise_after.append(made)
            return made

        raise_after: list[Presence] = []
        monkeypatch.setattr(claims, "_make_presence", make_and_fail)
        store.write(lambda connection: None)
        with claims.seat as connection:
            # A constraint that is looked at when the transaction is committed.
            connection.executescript(
                "PRAGMA foreign_keys = ON; CREATE TABLE t (x REFERENCES dead (number) DEFERRABLE INITIALLY DEFERRED);"
                "CREATE TRIGGER fail AFTER INSERT ON nodes BEGIN INSERT INTO t VALUES (77); END;"
            )
        with pytest.raises(StoreError, match="FOREIGN KEY"):
            claims.register()
        assert len(raise_after) == 1
        assert lock_files(store) == []
        query(store, "DROP TRIGGER fail")
        claims.register()
        assert len(lock_files(store)) == 1
        claims.leave()


class TestEnds:
    async def test_a_consumer_that_cannot_give_back_dies_and_others_take_over_at_once(
        self, hasty: SqliteBroker, act: Act, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        hasty.publish_now(messages(2))
        consumer = await hasty.consume(["q"], 2)
        await anext(aiter(consumer))
        locker = act("lock", path)
        line(locker)
        with caplog.at_level(logging.WARNING, "umbel.stores"):
            await consumer.close()
        assert "could not give back what was claimed" in caplog.text
        finish(locker)
        async with hasty, listening(await hasty.consume(["q"], 2)) as ear:
            assert [delivery.redelivered for delivery in await ear.hears(2)] == [True, True]

    async def test_a_node_that_is_full_notices_that_it_was_taken_for_dead(
        self, broker: SqliteBroker, store: SqliteStore
    ) -> None:
        clock = store.clock = LateClock()
        broker.publish_now(messages(1))
        async with broker, listening(await broker.consume(["q"], 1)) as ear:
            await ear.hears(1)
            query(store, "DELETE FROM nodes")
            query(store, "UPDATE messages SET claim = 1073741824, redelivered = 1")
            clock.ahead = 11.0
            again = (await ear.hears(2))[1:]
            assert again[0].redelivered
            await settle_all(ear.consumer, again, ACK)
        assert await broker.size("q") == 0

    async def test_a_settlement_whose_caller_was_cancelled_is_settled_all_the_same(
        self, broker: SqliteBroker, act: Act, path: Path
    ) -> None:
        broker.publish_now(messages(1))
        async with broker, listening(await broker.consume(["q"], 1)) as ear:
            held = await ear.hears(1)
            locker = act("lock", path)
            line(locker)
            with anyio.move_on_after(0.05):
                await settle_all(ear.consumer, held, ACK)
            finish(locker)

            async def settled() -> bool:
                return query(broker.keeper, "SELECT count(*) FROM messages") == [(0,)]

            await until(settled)

    async def test_calls_that_wait_when_a_consumer_breaks_down_get_its_error(self, broker: SqliteBroker) -> None:
        broker.publish_now(messages(1))
        consumer = await broker.consume(["q"], 1)
        assert isinstance(consumer, SqliteConsumer)
        (held,) = await anext(aiter(consumer))
        call = asyncio.ensure_future(consumer.settle([Settlement(held, ACK)]))
        await asyncio.sleep(0)
        consumer._finish(StoreUnsuitable("newer"))
        with pytest.raises(StoreUnsuitable, match="newer"):
            await call
        await consumer.settle([Settlement(held, ACK)])
        await consumer.close()

        async def gone() -> bool:
            return lock_files(broker.keeper) == []

        await until(gone)

    def test_a_bell_on_a_loop_that_is_gone_is_rung_in_vain(self) -> None:
        bells: list[LoopBell] = []

        async def make() -> None:
            bells.append(LoopBell())

        anyio.run(make)
        bells[0].ring()
        bells[0].ring()
