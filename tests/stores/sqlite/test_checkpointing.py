"""When the log is moved into the file, and by whom."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.stores.sqlite.conftest import Act, line, messages
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import StoreError
from umbel.model import ACK, Envelope, Route
from umbel.stores.sqlite import claims
from umbel.stores.sqlite import store as stores
from umbel.stores.sqlite.checkpointing import NODE_LIMIT
from umbel.stores.sqlite.locks import FileLock
from umbel.stores.sqlite.log import state_of
from umbel.stores.sqlite.store import SIZE_CHECK_EVERY, SqliteStore
from umbel.testing.conformance.harness import listening, settle_all, until


@pytest.fixture
def log(path: Path, broker: SqliteBroker) -> Path:
    """The log of a store with some messages."""
    for _ in range(20):
        broker.publish_now(messages(10))
    log = Path(f"{path}-wal")
    assert log.stat().st_size > 100_000
    return log


def test_a_log_that_has_grown_is_moved_and_nothing_is_lost(
    store: SqliteStore, broker: SqliteBroker, log: Path, path: Path
) -> None:
    assert store.checkpoints.due(100_000)
    assert store.checkpoints.run(100_000)
    assert not store.checkpoints.due(1)
    assert path.stat().st_size > 50_000
    size = log.stat().st_size
    broker.publish_now(messages(1))
    assert log.stat().st_size == size, "the log was not begun anew"
    assert store.checkpoints.due(1)
    assert not store.checkpoints.due(50_000)
    assert store.size("q") == 201


def test_its_room_on_the_disk_is_given_back_when_asked_for(store: SqliteStore, log: Path) -> None:
    assert store.checkpoints.run(1, shrink=True)
    assert log.stat().st_size == 0
    assert not store.checkpoints.due(1)
    assert store.checkpoints.run(1)
    assert store.size("q") == 200


def test_a_disk_without_room_for_a_note_does_not_keep_the_log_from_being_emptied(
    store: SqliteStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(lock: FileLock, note: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(FileLock, "write", no_room)
    assert store.make_room()
    assert log.stat().st_size == 0
    assert store.size("q") == 200


def test_each_round_of_the_log_is_copied_once_without_the_write_lock(
    store: SqliteStore, broker: SqliteBroker, log: Path
) -> None:
    modes: list[str] = []
    with store.checkpoints._seat as connection:
        connection.set_trace_callback(lambda statement: modes.append(statement.partition("checkpoint")[2]))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        broker.publish_now(messages(1))
        assert not store.checkpoints.run(1)
    assert modes == ["(PASSIVE)", "(RESTART)"]
    assert store.checkpoints.run(1)
    assert modes[2:] == ["(RESTART)"]
    assert store.checkpoints.run(1), "as another process would, which does not know that it was moved"
    assert modes[3:] == ["(RESTART)"]
    broker.publish_now(messages(1))
    assert store.checkpoints.run(1)
    assert modes[4:] == ["(PASSIVE)", "(RESTART)"]


@pytest.mark.parametrize("content", [b"", b"short", bytes(32)])
def test_a_log_that_was_hardly_begun_has_no_size_to_speak_of(tmp_path: Path, content: bytes) -> None:
    assert state_of(str(tmp_path / "none")) is None
    (tmp_path / "log").write_bytes(content)
    state = state_of(str(tmp_path / "log"))
    assert state is None or state.size == 32


def test_a_small_log_is_left_alone(store: SqliteStore, log: Path) -> None:
    size = log.stat().st_size
    assert store.checkpoints.run(NODE_LIMIT)
    assert log.stat().st_size == size


def test_while_another_process_is_at_it_nothing_is_done(store: SqliteStore, log: Path, act: Act) -> None:
    os.makedirs(store.folder)
    other = act("run", os.path.join(store.folder, "checkpoint"))
    assert line(other) == ["locked"]
    assert not store.checkpoints.run(1)
    assert log.stat().st_size > 0
    other.kill()
    other.wait()
    assert store.checkpoints.run(1)


def test_while_another_thread_is_at_it_nothing_is_done(store: SqliteStore, log: Path) -> None:
    with store.checkpoints._mutex:
        assert not store.checkpoints.run(1)
    assert store.checkpoints.run(1)


def test_a_reader_in_the_way_is_not_waited_for(store: SqliteStore, log: Path, broker: SqliteBroker) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        broker.publish_now(messages(1))
        assert not store.checkpoints.run(1)
        broker.publish_now(messages(1))
    assert store.checkpoints.run(1)
    assert store.size("q") == 202


def test_what_cannot_be_locked_is_told_and_aside_it_is_logged(
    store: SqliteStore, log: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Path(store.folder).write_text("in the way")
    with pytest.raises(StoreError, match="cannot lock"):
        store.checkpoints.run(1)
    with caplog.at_level(logging.WARNING, "umbel.stores"):
        store.checkpoints._run_logged(1)
    assert "could not be moved into the file" in caplog.text


def test_without_file_locks_the_write_lock_is_enough(
    store: SqliteStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.stores.sqlite.checkpointing.HAVE_LOCKS", False)
    monkeypatch.setattr("umbel.stores.sqlite.locks.HAVE_LOCKS", False)
    assert store.checkpoints.run(1)
    assert not store.checkpoints.due(1)


async def test_a_consuming_node_empties_a_log_that_has_grown(
    broker: SqliteBroker, store: SqliteStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "NODE_LIMIT", 50_000)
    assert store.checkpoints.due(50_000)

    async def emptied() -> bool:
        return not store.checkpoints.due(50_000)

    async with broker, listening(await broker.consume(["q"], 500)) as ear:
        await settle_all(ear.consumer, await ear.hears(200), ACK)
        await until(emptied)


async def test_where_no_node_is_a_publisher_does_it(
    broker: SqliteBroker, store: SqliteStore, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "SAFETY_LIMIT", 50_000)

    async def emptied() -> bool:
        return not store.checkpoints.due(50_000)

    broker.publish_now([(Route("q"), Envelope("plain", "big", b"", bytes(SIZE_CHECK_EVERY)))])
    await until(emptied)
