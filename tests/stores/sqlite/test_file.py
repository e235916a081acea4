"""A file that is damaged, foreign, out of reach or replaced."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from tests.stores.sqlite.conftest import Act, finish, line, messages, query, seat_of
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import StoreDamaged, StoreError, StoreUnsuitable
from umbel.model import ACK, SealedRecord
from umbel.stores.sqlite.store import SqliteStore
from umbel.testing.conformance.harness import PATIENCE, listening, settle_all


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
