"""Following records across processes, and what that costs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import anyio
import pytest

from tests.stores.sqlite.conftest import Act, finish, line, messages
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import StoreBusy
from umbel.model import SealedRecord
from umbel.stores.sqlite import lookout, watcher
from umbel.stores.sqlite.ear import Blind
from umbel.testing.conformance.harness import PATIENCE, until


@pytest.fixture
def backend(url: str) -> SqliteBackend:
    return SqliteBackend(url, {})


def watchers(path: Path) -> int:
    """How many threads follow the records of this file."""
    return sum(thread.name == f"umbel-watcher {path}" for thread in threading.enumerate())


@pytest.mark.parametrize("blind", [False, True])
async def test_records_of_another_process_are_seen(
    backend: SqliteBackend, broker: SqliteBroker, act: Act, url: str, blind: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blind:
        monkeypatch.setattr(lookout, "ear_on", lambda path: Blind())
    worker = act("work", url)
    line(worker)
    ids = [envelope.id for _, envelope in messages(20)]
    async with backend:
        broker.publish_now(messages(20))
        with anyio.fail_after(PATIENCE):
            seen = [record.id async for record in backend.watch(ids)]
    assert sorted(seen) == sorted(ids)
    finish(worker)


async def test_one_thread_serves_all_watches_and_ends_after_the_last(
    backend: SqliteBackend, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "LINGER", 0.05)

    async def watch(id: str) -> None:
        async for _ in backend.watch([id]):
            pass

    async def ended() -> bool:
        return watchers(path) == 0

    for _ in range(2):
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as group:
                for number in range(10):
                    group.start_soon(watch, f"id-{number}")
                await anyio.lowlevel.checkpoint()
                await backend.store([SealedRecord(f"id-{number}", "SUCCESS", b"") for number in range(10)])
                assert watchers(path) == 1
        await until(ended)


async def test_a_busy_file_is_read_a_little_later(
    backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record = SealedRecord("id", "SUCCESS", b"")
    await backend.store([record])
    follower = backend.keeper.watcher
    load, refusals = follower._load, [StoreBusy("locked")]

    def refuse_once(*arguments: object) -> dict[str, SealedRecord]:
        if refusals:
            raise refusals.pop()
        return load(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(follower, "_load", refuse_once)
    with anyio.fail_after(PATIENCE), caplog.at_level(logging.WARNING, "umbel.stores"):
        assert [seen async for seen in backend.watch(["id"])] == [record]
    assert "could not be read yet" in caplog.text


async def test_reading_very_many_ids_leaves_time_for_others(
    backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "NOTABLE", 0.0)
    records = [SealedRecord(f"id-{number}", "SUCCESS", b"") for number in range(2000)]
    await backend.store(records)
    with anyio.fail_after(PATIENCE):
        assert [seen async for seen in backend.watch([record.id for record in records])] == records


async def test_leaving_a_watch_ends_its_reading(backend: SqliteBackend) -> None:
    async with backend:
        await backend.store([SealedRecord("id", "STARTED", b"")])
        watch = backend.watch(["id"])
        await anext(watch)
        assert len(backend.keeper.watcher._watches) == 1
        await watch.aclose()  # type: ignore[attr-defined]
        assert backend.keeper.watcher._watches == set()
