"""A running worker whose database refuses, for want of room or a lock that somebody holds, waits and loses nothing."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.faults.checker import Account, Ledger
from tests.faults.cramped import Room, ShortFiles, small_disk
from tests.faults.site import Site, until
from tests.worker.process import Worker
from umbel.errors import PublishError

pytestmark = pytest.mark.slow

TASKS = 300
STEADY = ("plain", "brief", "waits", "tells", "fails", "again", "refuses", "early")

Enter = Callable[[Account], None]


@contextmanager
def site_with(folder: Path, place: Path | None = None) -> Iterator[Site]:
    site = Site(folder, place)
    try:
        yield site
    finally:
        site.close()


def outage(site: Site, worker: Worker, room: Room, ledger: Ledger) -> None:
    """Take the room away while tasks run, until the worker has said so; give it back."""
    held = site.app.send_task("poison.hold", ["go"])  # its end at least is written when there is no room
    goal = ledger.diary.read() + 20
    until(lambda: ledger.diary.read() >= goal, what=ledger.account)
    site.wait_for_note("hold")
    room.fill(worker.tree())
    site.go()
    until(lambda: room.said in worker.text(), lambda: room.fill(worker.tree()), what=worker.text)
    room.free(worker.tree())
    assert site.get(held) is None


def done(ledger: Ledger, site: Site) -> Callable[[], bool]:
    def look() -> bool:
        ledger.look()
        return not ledger.open() and not site.left()

    return look


def test_a_full_disk_is_waited_out(tmp_path: Path, enter: Enter) -> None:
    with small_disk(tmp_path / "disk", 64) as room, site_with(tmp_path, tmp_path / "disk") as site:
        ledger = site.ledger("a full disk")
        ledger.send_mixed(site.app, 11, TASKS, STEADY)
        worker = site.worker("-c", "2")
        outage(site, worker, room, ledger)
        until(done(ledger, site), what=lambda: (ledger.account(), worker.text()[-2000:]))
        enter(ledger.account(1))
        ledger.check()
        assert worker.process.poll() is None
        assert "works again" in worker.text() or "takes results and settlements again" in worker.text()


def test_files_that_may_not_grow_are_waited_out(tmp_path: Path, enter: Enter) -> None:
    with site_with(tmp_path) as site:
        ledger = site.ledger("files that may not grow")
        ledger.send_mixed(site.app, 12, TASKS, STEADY)
        worker = site.worker("-c", "2")
        outage(site, worker, ShortFiles(), ledger)
        until(done(ledger, site), what=lambda: (ledger.account(), worker.text()[-2000:]))
        enter(ledger.account(1))
        ledger.check()
        assert worker.process.poll() is None


def test_a_client_on_a_full_disk_is_refused_and_nothing_of_it_runs(tmp_path: Path, enter: Enter) -> None:
    with small_disk(tmp_path / "disk", 32) as room, site_with(tmp_path, tmp_path / "disk") as site:
        ledger = site.ledger("a client on a full disk")
        ledger.send_mixed(site.app, 13, 50, STEADY)
        room.fill([])
        until(lambda: len(ledger.refused) > 20, lambda: room.fill([]), lambda: send(ledger, site), what=ledger.account)
        room.free([])
        site.worker("-c", "2")
        ledger.wait(lambda: not site.left())
        enter(ledger.account(1))
        ledger.check()
        assert not any(task_id in ledger.refused for task_id, _ in ledger.diary.runs)


def send(ledger: Ledger, site: Site) -> None:
    ledger.send(site.app, "plain")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock for writing, as a shell or a backup does."""
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_lock_that_is_held_for_three_seconds_is_waited_for(site: Site, enter: Enter) -> None:
    ledger = site.ledger("locked for 3 s")
    ledger.send_mixed(site.app, 14, TASKS, STEADY)
    worker = site.worker("-c", "2")
    until(lambda: ledger.diary.read() >= 50, what=ledger.account)
    sender = threading.Thread(target=send, args=(ledger, site))
    with locked(site.path):
        sender.start()
        time.sleep(3)  # the case itself: shorter than any deadline
        assert sender.is_alive(), "the client waits, too"
    sender.join()
    until(done(ledger, site), what=ledger.account)
    enter(ledger.account(1))
    assert not ledger.refused
    ledger.check()
    assert "held the lock" not in worker.text()


def test_a_lock_that_is_held_beyond_the_deadline_is_complained_of_and_waited_for(site: Site, enter: Enter) -> None:
    ledger = site.ledger("locked for long")
    ledger.send_mixed(site.app, 15, TASKS, STEADY)
    worker = site.worker("-c", "2", "--set", "broker_publish_timeout=0.3")
    until(lambda: ledger.diary.read() >= 50, what=ledger.account)
    with locked(site.path):
        until(lambda: "another process held the lock" in worker.text(), what=worker.text)
        with pytest.raises(PublishError, match="another process held the lock"):
            site.app.send_task("mill.plain")
    until(done(ledger, site), what=ledger.account)
    enter(ledger.account(1))
    ledger.check()
    assert worker.process.poll() is None


def test_results_that_cannot_be_stored_are_kept_and_their_messages_not_settled_before(
    site: Site, tmp_path: Path, enter: Enter
) -> None:
    results = tmp_path / "results.db"
    site.environ["UMBEL_RESULT_BACKEND"] = site.app.conf.result_backend = f"sqlite:///{results}"
    ledger = site.ledger("results are away")
    worker = site.worker("-c", "2", "--set", "broker_publish_timeout=0.3")
    ledger.send(site.app, "plain")
    ledger.wait()
    with locked(results):
        for _ in range(20):
            ledger.send(site.app, "plain")
        until(lambda: ledger.diary.read() == 21, what=ledger.account)
        until(lambda: "Results and settlements are kept and tried again" in worker.text(), what=worker.text)
        assert site.left() == 20
    until(done(ledger, site), what=ledger.account)
    enter(ledger.account(1))
    ledger.check()
    assert worker.process.poll() is None
