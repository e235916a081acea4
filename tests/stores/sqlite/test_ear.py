"""Hearing rings and writes."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from umbel.stores.sqlite import ear as ears
from umbel.stores.sqlite.ear import MISSES, Blind, Ear, Inotify, ear_on

LONG = 30.0
"""Seconds that no test here waits for in truth."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "log").write_bytes(b"")
    return tmp_path / "log"


@pytest.fixture(params=[Blind, Inotify])
def ear(request: pytest.FixtureRequest, file: Path) -> Iterator[Ear]:
    ear: Ear = Blind() if request.param is Blind else Inotify(str(file))
    ear.attend()
    yield ear
    ear.close()


@pytest.fixture
def keen(file: Path) -> Iterator[Inotify]:
    ear = Inotify(str(file))
    ear.attend()
    yield ear
    ear.close()


def waits(ear: Ear, for_writes: bool, then: threading.Thread | None = None) -> bool:
    """Whether a wait ended before its time."""
    if then is not None:
        then.start()
    begin = time.monotonic()
    ear.wait(LONG, for_writes)
    if then is not None:
        then.join()
    return time.monotonic() - begin < LONG


@pytest.mark.parametrize("for_writes", [True, False])
def test_a_ring_wakes_who_waits_and_who_will_wait(ear: Ear, for_writes: bool) -> None:
    assert waits(ear, for_writes, threading.Thread(target=ear.ring))
    ear.ring()
    ear.ring()
    assert waits(ear, for_writes)


def test_many_rings_wake_once(ear: Ear) -> None:
    for _ in range(5):
        ear.ring()
    ear.wait(LONG, for_writes=False)
    begin = time.monotonic()
    ear.wait(0.05, for_writes=False)
    assert time.monotonic() - begin >= 0.05


def test_a_wait_ends_with_its_time_and_a_time_that_has_passed_is_none(ear: Ear) -> None:
    ear.wait(0.01, for_writes=True)
    ear.wait(-1.0, for_writes=True)


def test_no_ring_is_lost_however_threads_meet(ear: Ear) -> None:
    rounds = 2000
    heard = 0
    answered = threading.Semaphore(0)

    def ring() -> None:
        for _ in range(rounds):
            ear.ring()
            answered.acquire()

    thread = threading.Thread(target=ring)
    thread.start()
    while heard < rounds:
        assert waits(ear, for_writes=True)
        heard += 1
        answered.release()
    thread.join()


def test_closing_can_be_repeated_and_a_ring_afterwards_does_nothing(ear: Ear) -> None:
    ear.close()
    ear.close()
    ear.ring()


def test_on_linux_writes_are_heard() -> None:
    assert isinstance(ear_on("anything"), Inotify if sys.platform == "linux" else Blind)


def test_a_write_wakes_who_waits_for_writes_until_it_is_cleared(keen: Inotify, file: Path) -> None:
    assert keen.keen
    assert not keen.clear()
    assert waits(keen, True, threading.Thread(target=file.write_bytes, args=(b"x",)))
    assert waits(keen, True)
    assert keen.clear()
    assert not keen.clear()


def test_a_write_does_not_wake_who_waits_for_rings(keen: Inotify, file: Path) -> None:
    file.write_bytes(b"x")
    begin = time.monotonic()
    keen.wait(0.05, for_writes=False)
    assert time.monotonic() - begin >= 0.05


def test_after_the_file_was_replaced_the_new_one_is_attended_to(keen: Inotify, file: Path) -> None:
    file.unlink()
    file.write_bytes(b"")
    keen.attend()
    keen.clear()
    file.write_bytes(b"x")
    assert waits(keen, True)


def test_a_file_that_is_not_there_yet_is_no_reason_to_be_deaf(keen: Inotify, file: Path) -> None:
    file.unlink()
    keen.attend()
    assert keen.keen


def test_who_misses_several_writes_in_a_row_counts_as_deaf_until_one_is_heard(keen: Inotify, file: Path) -> None:
    for _ in range(MISSES):
        assert keen.keen
        keen.missed()
    assert not keen.keen
    keen.clear()
    file.write_bytes(b"x")
    assert keen.clear()
    assert keen.keen


def test_where_no_watch_can_be_had_the_ear_is_deaf(keen: Inotify) -> None:
    keen._path = b"/" + b"x" * 5000
    keen.attend()
    assert not keen.keen


def test_where_the_system_has_no_more_to_give_one_looks(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    def refuse(path: str) -> Ear:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(ears, "Inotify", refuse)
    ear = ear_on(str(file))
    assert isinstance(ear, Blind)
    assert not ear.keen
    ear.missed()
