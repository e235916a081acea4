"""Readers find what is there and make nothing."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from tests.stores.sqlite.conftest import messages
from tests.stores.sqlite.test_file import remove
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.model import SealedRecord
from umbel.ports import Mark
from umbel.testing.conformance.harness import PATIENCE, until

DONE = SealedRecord("id", "SUCCESS", b"{}")


def there(path: Path) -> bool:
    return path.exists()


@pytest.fixture
def backend(url: str) -> SqliteBackend:
    return SqliteBackend(url, {})


async def test_whoever_only_reads_makes_neither_folder_nor_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/home/umbel.db"
    async with SqliteBroker(url, {}) as broker, SqliteBackend(url, {}) as backend:
        assert await broker.size("q") == 0
        assert await backend.load(["id"]) == {}
        assert await broker.dead_letters() == []
        assert await broker.get_marks(["mark"]) == {}
    assert os.listdir(tmp_path) == []


async def test_a_watch_waits_for_a_file_that_does_not_exist_yet(backend: SqliteBackend, path: Path, url: str) -> None:
    seen: list[SealedRecord] = []

    async def watch() -> None:
        seen.extend([record async for record in backend.watch(["id"])])

    async def watching() -> bool:
        return bool(backend.keeper.watcher._watches)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await until(watching)
            assert not there(path)
            await backend.store([DONE])
    assert seen == [DONE]


async def test_a_watch_does_not_bring_back_a_file_that_was_removed(
    backend: SqliteBackend, broker: SqliteBroker, path: Path
) -> None:
    broker.publish_now(messages(1))
    follower = backend.keeper.watcher

    async def watch() -> None:
        async for _ in backend.watch(["id"]):
            pass

    async def looked_again() -> bool:
        return follower._seat.openings > before

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await until(lambda: _true(follower._seat._connection is not None))
            before = follower._seat.openings
            backend.keeper.rest()
            remove(path)
            await until(looked_again)
            assert not there(path)
            await backend.store([DONE])
    assert there(path)


async def _true(answer: bool) -> bool:
    return answer


async def test_a_reader_of_nothing_sees_the_file_as_soon_as_it_is_made(broker: SqliteBroker, url: str) -> None:
    assert await broker.size("q") == 0
    other = SqliteBroker(url, {})
    other.publish_now(messages(3))
    await other.put_marks([Mark("mark", "1", None)])
    assert await broker.size("q") == 3
    assert await broker.get_marks(["mark"]) == {"mark": "1"}
