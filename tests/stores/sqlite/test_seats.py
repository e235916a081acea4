"""Connections: one user at a time, opened when needed, closed when told."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.sqlite.conftest import messages
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import StoreBusy
from umbel.stores.sqlite import seats
from umbel.stores.sqlite.access import Access
from umbel.stores.sqlite.seats import Seat


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    path = tmp_path / "any.db"
    seat = Seat(str(path), lambda: sqlite3.connect(path, check_same_thread=False))
    yield seat
    seat.close()


def test_nothing_is_opened_before_the_first_use_and_one_connection_serves_all(seat: Seat) -> None:
    assert seat.openings == 0
    with seat as first:
        pass
    with seat as second:
        assert second is first
    assert seat.openings == 1


def test_after_closing_a_new_connection_is_opened(seat: Seat) -> None:
    with seat as connection:
        pass
    seat.close()
    seat.close()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
    with seat as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_that_cannot_be_opened_leaves_the_seat_free(tmp_path: Path) -> None:
    seat = Seat("any", lambda: sqlite3.connect(tmp_path / "no" / "folder" / "any.db"))
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError), seat:
            pass


def test_closing_does_not_wait_longer_than_its_patience(seat: Seat) -> None:
    with seat as connection:
        seat.close(patience=0.01)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_the_connections_of_all_seats_are_closed_during_a_fork_and_opened_again(seat: Seat) -> None:
    with seat:
        pass
    seats._before_fork()
    try:
        assert seat._connection is None
    finally:
        seats._after_fork_in_parent()
    with seat as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_in_use_during_a_fork_is_neither_used_nor_closed_by_the_child(
    seat: Seat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "FORK_PATIENCE", 0.01)
    with seat as connection:
        seats._before_fork()
        seats._after_fork_in_child()
        assert connection in seats._abandoned
        with seat as own:
            assert own is not connection
        seats._abandoned.remove(connection)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        connection.close()
        # What the child did to the seat is undone: this process is still the parent.
        seat._mutex = threading.Lock()
        seat._mutex.acquire()


def test_a_thread_that_writes_for_too_long_makes_the_others_busy(seat: Seat) -> None:
    access = Access("any.db", timeout=0.05)
    inside, leave = threading.Event(), threading.Event()

    def linger(connection: sqlite3.Connection) -> None:
        inside.set()
        leave.wait()

    thread = threading.Thread(target=access.write, args=(seat, linger))
    thread.start()
    inside.wait()
    with pytest.raises(StoreBusy, match="another thread of this process"):
        access.write(seat, lambda connection: None)
    leave.set()
    thread.join()
    access.write(seat, lambda connection: None)


def test_a_wrong_use_of_sql_is_not_called_a_fault_of_the_store(broker: SqliteBroker) -> None:
    broker.publish_now(messages(1))
    with pytest.raises(sqlite3.ProgrammingError):
        broker.keeper.write(lambda connection: connection.execute("SELECT ?", ()))
    broker.publish_now(messages(1))
