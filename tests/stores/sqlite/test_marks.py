"""Marks across processes, and what becomes of those that have expired."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

import anyio
import pytest

from tests.stores.sqlite.conftest import Act, finish, line, messages, query
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.clock import SystemClock
from umbel.errors import StoreBusy, StoreError
from umbel.ports import Mark
from umbel.stores.sqlite import lookout, sweeping, watcher
from umbel.stores.sqlite.ear import Blind
from umbel.stores.sqlite.marks import MarkWatch
from umbel.stores.sqlite.store import SqliteStore
from umbel.testing.conformance.harness import PATIENCE, listening, until
from umbel.testing.conformance.marks import watching


class HandClock(SystemClock):
    """A wall clock that can be set."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


def rows(store: SqliteStore) -> int:
    return int(query(store, "SELECT count(*) FROM marks")[0][0])


def test_eight_processes_add_and_no_addition_is_lost(broker: SqliteBroker, act: Act, url: str) -> None:
    keys = ["a", "b", "c"]
    actors = [act("count", url, 50, *keys) for _ in range(8)]
    for actor in actors:
        assert line(actor) == ["ready"]
    for actor in actors:
        assert actor.stdin is not None
        actor.stdin.write("go\n")
        actor.stdin.flush()
    firsts = [finish(actor) for actor in actors]
    assert broker.keeper.marks.get(keys) == dict.fromkeys(keys, "400")
    assert sorted(firsts) == [[["first"]], *[[["later"]]] * 7]


@pytest.mark.parametrize("blind", [False, True])
async def test_a_watch_is_told_what_other_processes_put(
    broker: SqliteBroker, act: Act, url: str, blind: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blind:
        monkeypatch.setattr(lookout, "ear_on", lambda path: Blind())
    async with broker, watching(broker, "m:") as listener:
        actor = act("put", url, "m:1", "other", "m:2")
        await listener.hears(Mark("m:2", str(actor.pid), None))
        assert [mark.key for mark in listener.later] == ["m:1", "m:2"]
    finish(actor)


def test_watching_survives_a_fork_on_both_sides(act: Act, url: str) -> None:
    assert finish(act("fork_while_watching", url)) == [["0"], ["m:child"], ["0"]]


async def test_a_watch_goes_on_in_a_file_that_took_the_others_place(broker: SqliteBroker, path: Path) -> None:
    async with broker, watching(broker, "m:") as listener:
        for number in range(10):
            await broker.put_marks([Mark(f"m:{number}", "old", None)])
        await listener.hears(Mark("m:9", "old", None))
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
        await broker.put_marks([Mark("m:new", "new", None)])
        await listener.hears(Mark("m:new", "new", None))


async def test_a_consuming_node_sweeps_expired_marks_in_small_batches(
    broker: SqliteBroker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = store.clock = HandClock()
    monkeypatch.setattr(sweeping, "BATCH", 7)
    await broker.put_marks([Mark(f"{number}", "", clock.now() + 60) for number in range(50)])
    await broker.put_marks([Mark("kept", "", clock.now() + 10_000), Mark("for ever", "", None)])
    clock.ahead = 100

    async def swept() -> bool:
        return rows(store) == 2

    async with broker, listening(await broker.consume(["q"], 1)):
        await until(swept)
    assert set(await broker.get_marks(["kept", "for ever", "1"])) == {"kept", "for ever"}


def test_sweeping_stops_when_its_time_is_over_and_goes_on_later(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.marks.put([Mark(f"{number}", "", 1.0) for number in range(50)])
    monkeypatch.setattr(sweeping, "BATCH", 10)
    monkeypatch.setattr(sweeping, "BUDGET", 0.0)
    sweeper = sweeping.Sweeper(store)
    for left in (40, 30, 20, 10, 0):
        sweeper.sweep()
        assert rows(store) == left
    sweeper.sweep()
    store.marks.put([Mark("late", "", 1.0)])
    sweeper.sweep()
    assert rows(store) == 1, "it looks again after a pause"


async def test_a_watch_of_marks_costs_no_look_at_every_write(
    broker: SqliteBroker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = store.marks.watcher
    looks: list[MarkWatch] = []
    look = follower._look

    def noted(watch: MarkWatch, connection: sqlite3.Connection) -> object:
        looks.append(watch)
        return look(watch, connection)

    monkeypatch.setattr(follower, "rest", 3600.0)
    monkeypatch.setattr(follower, "_look", noted)
    async with broker, watching(broker, "m:"):
        for _ in range(100):
            broker.publish_now(messages(1))
        assert len(looks) == 1


async def test_marks_that_cannot_be_read_yet_are_read_a_little_later(
    broker: SqliteBroker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    look, refusals = store.marks.watcher._look, [StoreBusy("locked")]

    def refuse_once(*arguments: object) -> object:
        if refusals:
            raise refusals.pop()
        return look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store.marks.watcher, "_look", refuse_once)
    await broker.put_marks([Mark("m:1", "", None)])
    with caplog.at_level(logging.WARNING, "umbel.stores"):
        async with broker, watching(broker, "m:") as listener:
            assert [mark.key for mark in listener.batches[0]] == ["m:1"]
    assert "marks that somebody waits for could not be read yet" in caplog.text


async def test_a_store_that_cannot_be_read_at_all_is_told_to_whoever_watches(
    broker: SqliteBroker, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> object:
        raise StoreError("gone")

    monkeypatch.setattr(store.marks.watcher, "_look", refuse)
    with pytest.raises(StoreError, match="gone"):
        await anext(broker.watch_marks("m:"))


async def test_the_thread_ends_after_the_last_watch(url: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "LINGER", 0.05)
    backend = SqliteBackend(url, {})

    def threads() -> int:
        return sum(thread.name == f"umbel-marks {path}" for thread in threading.enumerate())

    async def ended() -> bool:
        return threads() == 0

    async with backend, watching(backend, "m:"), watching(backend, "n:"):
        assert threads() == 1
    with anyio.fail_after(PATIENCE):
        await until(ended)
