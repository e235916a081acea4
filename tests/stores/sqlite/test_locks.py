"""Locks on files, as this process and others see them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.stores.sqlite.conftest import Act, line
from umbel.stores.sqlite import locks
from umbel.stores.sqlite.locks import FileLock


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "lock")


def test_a_lock_is_had_once_even_in_one_process(file: str) -> None:
    lock = FileLock.take(file)
    assert lock is not None
    assert FileLock.take(file) is None
    lock.release()
    again = FileLock.take(file)
    assert again is not None
    again.release(remove=True)
    assert not os.path.exists(file)


def test_asking_for_a_lock_that_this_process_has_does_not_lose_it(file: str, act: Act) -> None:
    lock = FileLock.take(file)
    assert lock is not None
    FileLock.take(file)
    other = act("try_lock", file)
    assert line(other) == ["refused"]
    lock.release()


def test_what_another_process_has_is_refused_until_it_ends(file: str, act: Act) -> None:
    other = act("run", file)
    assert line(other) == ["locked"]
    assert FileLock.take(file) is None
    other.kill()
    other.wait()
    lock = FileLock.take(file)
    assert lock is not None
    lock.release()


def test_a_file_that_is_not_there_is_made_only_if_asked(file: str) -> None:
    assert FileLock.take(file, create=False) is None
    assert not os.path.exists(file)


def test_releasing_can_be_repeated_and_does_not_touch_a_later_lock(file: str) -> None:
    first = FileLock.take(file)
    assert first is not None
    first.release()
    second = FileLock.take(file)
    assert second is not None
    first.release(remove=True)
    assert os.path.exists(file)
    assert FileLock.take(file) is None
    second.release()


def test_a_file_put_in_its_place_is_not_removed_with_it(file: str) -> None:
    lock = FileLock.take(file)
    assert lock is not None
    os.unlink(file)
    Path(file).write_text("somebody else's")
    lock.release(remove=True)
    assert Path(file).read_text() == "somebody else's"


def test_a_forked_child_has_none_of_its_parents_locks_and_does_them_no_harm(file: str, act: Act) -> None:
    forker = act("lock_and_fork", file)
    assert line(forker) == ["child", "refused"]
    assert FileLock.take(file) is None


def test_without_posix_locks_there_is_none_to_have(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HAVE_LOCKS", False)
    assert FileLock.take(file) is None


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        FileLock.take(str(tmp_path))
