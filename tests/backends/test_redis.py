"""The Redis backend against the backend suite, and what is peculiar to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import anyio
import pytest

from tests.wire.golden_files import GOLDEN, VERSIONS
from tools.ports import free_port
from umbel.backends.redis import RedisBackend
from umbel.errors import StoreError, StoreUnreachable
from umbel.model import Record, SealedRecord
from umbel.ports import ResultBackend
from umbel.stores.redis.link import Link
from umbel.stores.redis.listener import Listener
from umbel.stores.redis.records import state_in
from umbel.testing.conformance.backend import BackendConformance
from umbel.testing.conformance.harness import PATIENCE, until
from umbel.wire.results import seal

pytestmark = pytest.mark.server


class TestRedisBackend(BackendConformance):
    @pytest.fixture
    def make_backend(self, any_redis: str) -> Callable[[], ResultBackend]:
        return lambda: RedisBackend(any_redis, {})

    def as_kept(self, record: SealedRecord) -> SealedRecord:
        return record._replace(expires=None)


# -- what is peculiar to it


def sealed(
    id: str, state: str = "SUCCESS", value: object = 1, *, life: int = 0, serializer: str = "json"
) -> SealedRecord:
    record = Record(id=id, state=state, value=value, life=life)
    return seal(record, serializer=serializer, expires=time.time() + 3600)


GOLDEN_RESULTS = sorted({(version, name) for version in VERSIONS for name in GOLDEN[version].results})


@pytest.mark.parametrize(("version", "name"), GOLDEN_RESULTS)
def test_the_state_of_a_record_of_celery_is_seen(version: str, name: str) -> None:
    payload = GOLDEN[version].results[name]
    assert state_in(payload) == json.loads(payload)["status"]


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
@pytest.mark.parametrize("state", ["SUCCESS", "FAILURE", "REVOKED"])
async def test_an_end_that_another_program_has_written_stays(
    backend: RedisBackend, link: Link, prefix: str, serializer: str, state: str
) -> None:
    value = "status FAILURE SUCCESS" if state == "SUCCESS" else ValueError("status SUCCESS")
    theirs = sealed("a", state, value, serializer=serializer)
    await link.ask("SETEX", f"{prefix}_celery-task-meta-a", 60, theirs.payload)
    for late in ("STARTED", "SUCCESS", "FAILURE"):
        await backend.store([sealed("a", late, 2 if late != "FAILURE" else ValueError("x"))])
    assert await link.ask("GET", f"{prefix}_celery-task-meta-a") == theirs.payload
    found = (await backend.load(["a"]))["a"]
    assert (found.state, found.payload) == (state, theirs.payload)


@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
async def test_what_has_not_ended_gives_way(backend: RedisBackend, link: Link, prefix: str, serializer: str) -> None:
    theirs = sealed("a", "STARTED", {"hostname": "there"}, serializer=serializer)
    await link.ask("SETEX", f"{prefix}_celery-task-meta-a", 60, theirs.payload)
    done = sealed("a")
    await backend.store([done])
    assert (await backend.load(["a"]))["a"].payload == done.payload


async def test_every_key_is_celerys_and_expires(backend: RedisBackend, link: Link, prefix: str) -> None:
    await backend.store([sealed("a"), sealed("b", "STARTED", None), sealed("c", life=2)])
    keys = sorted(key.decode() for key in await link.ask("KEYS", f"{prefix}*"))
    assert keys == [*(f"{prefix}_celery-task-meta-{id}" for id in "abc"), f"{prefix}_umbel.record.c"]
    for key in keys:
        assert 3590 < await link.ask("TTL", key) <= 3600
    await backend.forget(["a", "b", "c"])
    assert await link.ask("KEYS", f"{prefix}*") == []


async def test_a_record_is_published_in_the_step_that_stores_it(backend: RedisBackend, link: Link, prefix: str) -> None:
    record = sealed("a")
    heard: list[tuple[bytes | None, object]] = []
    listener = Listener(backend.keeper.addresses)

    def hear(payload: bytes | None) -> None:
        heard.append((payload, None))

    await listener.follow([f"{prefix}_celery-task-meta-a"], hear)
    await backend.store([record])

    async def is_heard() -> bool:
        return heard == [(record.payload, None)]

    await until(is_heard)
    await backend.store([sealed("a", "FAILURE", ValueError("late"))])
    await backend.store([sealed("b")])
    await asyncio.sleep(0.05)
    assert await is_heard()
    await listener.close()


async def test_what_another_program_stores_and_publishes_is_seen(
    backend: RedisBackend, link: Link, prefix: str
) -> None:
    seen: list[SealedRecord] = []

    async def watch() -> None:
        seen.extend([record async for record in backend.watch(["a"])])

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)

            async def is_watched() -> bool:
                told = await link.ask("PUBSUB", "NUMSUB", f"{prefix}_celery-task-meta-a")
                return bool(told[1])

            await until(is_watched)
            for record in (sealed("a", "STARTED", {"pid": 1}), sealed("a", "SUCCESS", 3)):
                await link.ask("SETEX", f"{prefix}_celery-task-meta-a", 60, record.payload)
                await link.ask("PUBLISH", f"{prefix}_celery-task-meta-a", record.payload)
    assert [record.state for record in seen][-1:] == ["SUCCESS"]


async def test_a_watch_whose_connection_is_lost_misses_nothing(backend: RedisBackend, link: Link, prefix: str) -> None:
    ids = [str(n) for n in range(100)]
    seen: list[str] = []

    async def watch() -> None:
        seen.extend([record.id async for record in backend.watch(ids)])

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            for n in ids:
                if int(n) % 25 == 10:
                    await link.ask("CLIENT", "KILL", "TYPE", "pubsub")
                await backend.store([sealed(n)])
    assert sorted(seen) == sorted(ids)


async def test_many_who_wait_share_one_connection(backend: RedisBackend, link: Link) -> None:
    before = len((await link.ask("CLIENT", "LIST", "TYPE", "pubsub")).splitlines())

    async def watch(id: str) -> None:
        assert [record.id async for record in backend.watch([id])] == [id]

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as group:
            for n in range(200):
                group.start_soon(watch, str(n))

            async def all_wait() -> bool:
                return len(await link.ask("PUBSUB", "CHANNELS", "*celery-task-meta-*")) >= 200

            await until(all_wait)
            assert len((await link.ask("CLIENT", "LIST", "TYPE", "pubsub")).splitlines()) == before + 1
            await backend.store([sealed(str(n)) for n in range(200)])


async def test_a_key_of_another_type_is_named(backend: RedisBackend, link: Link, prefix: str) -> None:
    await link.ask("LPUSH", f"{prefix}_celery-task-meta-a", "x")
    with pytest.raises(StoreError, match=f"the key '{prefix}_celery-task-meta-a' is a list and should be a string"):
        await backend.store([sealed("b"), sealed("a"), sealed("c")])
    assert set(await backend.load(["b", "c"])) == {"b", "c"}


async def test_a_server_that_is_away_is_told_without_the_password() -> None:
    async with RedisBackend(f"redis://:secret@127.0.0.1:{free_port()}/0") as backend:
        for asking in (backend.load(["a"]), backend.store([sealed("a")]), anext(backend.watch(["a"]))):
            with pytest.raises(StoreUnreachable, match=r"redis://:\*\*@127\.0\.0\.1") as caught:
                await asking
            assert "secret" not in str(caught.value)
