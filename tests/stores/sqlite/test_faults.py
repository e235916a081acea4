"""What goes wrong with the file, what callers are told, and that nothing is lost."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.stores.sqlite.conftest import Act, finish, line, messages, query
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.brokers.sqlite.consumer import SqliteConsumer
from umbel.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreUnsuitable
from umbel.model import ACK, Envelope, Route, SealedRecord, Settlement
from umbel.stores.sqlite.seats import Seat
from umbel.stores.sqlite.store import SqliteStore
from umbel.testing.conformance.harness import PATIENCE, listening, settle_all, take, until

IMPATIENT = {"broker_publish_timeout": 0.3}


def fill_disk(seat: Seat) -> None:
    """Let the connection use no more pages than the file has."""
    with seat as connection:
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")


def free_disk(seat: Seat) -> None:
    with seat as connection:
        connection.execute("PRAGMA max_page_count = 1000000")


def seat_of(consumer: object) -> Seat:
    assert isinstance(consumer, SqliteConsumer)
    return consumer._claims.seat


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
        emptied = store.checkpoints.run

        def empty_and_free(limit: int) -> bool:
            free_disk(store._writer)
            return emptied(limit)

        monkeypatch.setattr(store.checkpoints, "run", empty_and_free)
        broker.publish_now([(Route("q"), Envelope("plain", "big", b"", bytes(100_000)))])
        assert store.size("q") == 301

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


class TestDamage:
    @pytest.fixture
    def garbage(self, path: Path) -> Path:
        path.write_bytes(b"no database at all" * 1000)
        return path

    @pytest.fixture
    def remains(self, path: Path) -> Iterator[None]:
        """Removes the file at the end: a connection to it would be opened, and fail, once more."""
        yield
        remove(path)

    def test_garbage_is_called_damaged_and_left_alone(self, broker: SqliteBroker, garbage: Path) -> None:
        with pytest.raises(StoreDamaged, match=rf"{garbage} is damaged, or not an SQLite database"):
            broker.publish_now(messages(1))
        assert garbage.read_bytes() == b"no database at all" * 1000

    async def test_a_worker_does_not_start_on_garbage(self, broker: SqliteBroker, garbage: Path) -> None:
        with pytest.raises(StoreDamaged):
            await broker.__aenter__()
        with pytest.raises(StoreDamaged):
            await broker.consume(["q"], 1)

    @pytest.mark.usefixtures("remains")
    async def test_damage_while_consuming_ends_the_iteration_with_the_error(
        self, broker: SqliteBroker, store: SqliteStore, act: Act, path: Path
    ) -> None:
        async with broker:
            consumer = await broker.consume(["q"], 1)
            store.checkpoints.run(1)
            line(act("overwrite", path))
            seat_of(consumer).close()
            for _ in range(2):
                with anyio.fail_after(PATIENCE), pytest.raises(StoreDamaged):
                    await anext(aiter(consumer))
            await consumer.close()

    @pytest.mark.usefixtures("remains")
    async def test_a_watch_of_a_damaged_file_raises(self, url: str, act: Act, path: Path) -> None:
        async def watch(backend: SqliteBackend) -> None:
            async for _ in backend.watch(["id"]):
                line(act("overwrite", path))
                backend.keeper.watcher._seat.close()

        async with SqliteBackend(url, {}) as backend:
            await backend.store([SealedRecord("id", "STARTED", b"")])
            backend.keeper.checkpoints.run(1)
            with anyio.fail_after(PATIENCE), pytest.raises(StoreDamaged):
                await watch(backend)


class TestUnsuitable:
    def test_a_newer_layout_is_refused(self, broker: SqliteBroker, store: SqliteStore, path: Path, url: str) -> None:
        broker.publish_now(messages(1))
        query(store, "PRAGMA user_version = 99")
        store.rest()
        with pytest.raises(StoreUnsuitable, match=rf"{path} has layout 99, written by a newer umbel"):
            broker.publish_now(messages(1))

    def test_another_programs_database_is_refused(self, broker: SqliteBroker, path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE theirs (x)")
        with pytest.raises(StoreUnsuitable, match="database of another program"):
            broker.publish_now(messages(1))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]

    def test_an_sqlite_that_is_too_old_is_refused(self, broker: SqliteBroker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 20, 0))
        with pytest.raises(StoreUnsuitable, match="too old"):
            broker.publish_now(messages(1))

    async def test_a_layout_that_grows_newer_under_a_consumer_ends_the_iteration(
        self, broker: SqliteBroker, store: SqliteStore
    ) -> None:
        async with broker:
            consumer = await broker.consume(["q"], 1)
            query(store, "PRAGMA user_version = 99")
            seat_of(consumer).close()
            with anyio.fail_after(PATIENCE), pytest.raises(StoreUnsuitable):
                await anext(aiter(consumer))
            await consumer.close()


class TestPermissions:
    @pytest.fixture
    def open_folder(self) -> Iterator[Path]:
        """A folder that every user can reach."""
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)
        shutil.rmtree(folder)

    def test_a_folder_that_cannot_be_written_is_named_with_what_is_needed(self, open_folder: Path, act: Act) -> None:
        path = open_folder / "umbel.db"
        owner = SqliteBroker(f"sqlite:///{path}", {})
        owner.publish_now(messages(1))
        owner.keeper.rest()
        path.chmod(0o444)
        open_folder.chmod(0o555)
        (told,) = finish(act("intrude", f"sqlite:///{path}"))
        assert f"{path} cannot be written" in " ".join(told)
        assert f"write permission for the file and for its folder, {open_folder}" in " ".join(told)

    async def test_a_lock_file_that_cannot_be_made_stops_the_consumer_from_starting(
        self, broker: SqliteBroker, store: SqliteStore
    ) -> None:
        broker.publish_now(messages(1))
        os.symlink(store.path, store.folder)
        with pytest.raises(StoreError, match=r"cannot make a lock file in .*umbel\.db-nodes"):
            await broker.consume(["q"], 1)
        assert query(store, "SELECT count(*) FROM nodes") == [(0,)]


class TestReplacedFile:
    def test_what_is_published_after_the_file_was_removed_is_in_the_new_one(
        self, broker: SqliteBroker, url: str, path: Path, act: Act
    ) -> None:
        broker.publish_now(messages(5))
        remove(path)
        broker.publish_now(messages(1))
        worker = act("work", url)
        assert line(worker) == ["ready"]
        assert line(worker) == ["done", "id-0"]
        assert finish(worker) == []

    async def test_a_consumer_moves_to_the_new_file(self, broker: SqliteBroker, path: Path) -> None:
        async with broker, listening(await broker.consume(["q"], 5)) as ear:
            broker.publish_now(messages(1))
            held = await ear.hears(1)
            remove(path)
            broker.publish_now(messages(2))
            again = (await ear.hears(3))[1:]
            await settle_all(ear.consumer, [*held, *again], ACK)
        assert await broker.size("q") == 0


def remove(path: Path) -> None:
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)


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
