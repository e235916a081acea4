"""The Redis backend against the suite of those that join chords, and what is peculiar to it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from umbel.backends.redis import RedisBackend
from umbel.errors import StoreError
from umbel.joins import Joined
from umbel.stores.redis.link import Link
from umbel.testing.conformance.joins import JoinsAdapter, JoinsConformance, part

pytestmark = pytest.mark.server


class TestJoinsOfRedis(JoinsConformance):
    @pytest.fixture
    def make_backend(self, any_redis: str) -> Callable[[], JoinsAdapter]:
        return lambda: RedisBackend(any_redis)


async def keys(link: Link, prefix: str) -> set[str]:
    return {key.decode().removeprefix(f"{prefix}_") for key in await link.ask("KEYS", f"{prefix}*")}


async def test_a_group_is_counted_under_celerys_keys_and_they_are_gone_when_it_is_joined(
    backend: RedisBackend, link: Link, prefix: str
) -> None:
    await backend.expect({"g": 2}, time.time() + 3600)
    await backend.join(part("g", 0))
    assert await keys(link, prefix) == {"celery-taskset-meta-g.s", "celery-taskset-meta-g.j"}
    assert await link.ask("GET", f"{prefix}_celery-taskset-meta-g.s") == b"2"
    assert await link.ask("ZRANGE", f"{prefix}_celery-taskset-meta-g.j", 0, -1, "WITHSCORES") == [b"0000:", b"0"]
    await backend.join(part("g", 1))
    assert await keys(link, prefix) == {"umbel.joined.g", "umbel.joiner.g"}
    for key in await keys(link, prefix):
        assert 3590 < await link.ask("TTL", f"{prefix}_{key}") <= 3600


async def test_everything_that_a_joined_group_leaves_expires(backend: RedisBackend, link: Link, prefix: str) -> None:
    await backend.expect({"g": 1}, time.time() + 3600)
    await backend.join(part("g", 0, link=b"0", desk="q@here"))
    assert await keys(link, prefix) == {"umbel.joined.g", "umbel.joiner.g", "umbel.body.g", "umbel.desk.q@here"}
    for key in await keys(link, prefix):
        assert 3590 < await link.ask("TTL", f"{prefix}_{key}") <= 3600


async def test_the_last_part_to_end_says_how_long_the_ends_are_kept(
    backend: RedisBackend, link: Link, prefix: str
) -> None:
    await backend.expect({"g": 3}, None)
    await backend.join(part("g", 0))
    assert 3590 < await link.ask("TTL", f"{prefix}_celery-taskset-meta-g.j") <= 3600
    await backend.join(part("g", 1)._replace(expires=None))
    assert [await link.ask("TTL", f"{prefix}_celery-taskset-meta-g.{end}") for end in "js"] == [-1, -1]


async def test_what_has_expired_leaves_its_desk(backend: RedisBackend, link: Link, prefix: str) -> None:
    await backend.expect({"g": 1}, time.time() + 3600)
    await backend.join(part("g", 0, link=b"0", desk="desk"))
    await link.ask("DEL", f"{prefix}_umbel.body.g")
    assert await backend.unsent("desk", 0.0) == {}
    assert "umbel.desk.desk" not in await keys(link, prefix)


async def test_parts_that_were_added_later_are_waited_for(backend: RedisBackend, link: Link, prefix: str) -> None:
    await backend.expect({"g": 1}, time.time() + 3600)
    await link.ask("INCR", f"{prefix}_celery-taskset-meta-g.t")
    assert await backend.join(part("g", 0)) is None
    assert 3590 < await link.ask("TTL", f"{prefix}_celery-taskset-meta-g.t") <= 3600
    assert await backend.join(part("g", 1)) is not None


async def test_parts_that_celery_keeps_without_their_order_are_counted_too(
    backend: RedisBackend, link: Link, prefix: str
) -> None:
    await backend.expect({"g": 3}, time.time() + 3600)
    await link.ask("RPUSH", f"{prefix}_celery-taskset-meta-g.j", "theirs")
    assert await backend.join(part("g", 0, b"old")) is None
    assert await backend.join(part("g", 0, b"new")) is None
    assert await backend.join(part("g", 1)) == Joined([b"theirs", b"0000:new", b"0001:"])


async def test_a_group_that_celery_has_joined_is_joined_no_more(backend: RedisBackend, link: Link, prefix: str) -> None:
    """Its keys are gone by then."""
    assert await backend.join(part("g", 0)) is None
    assert 3590 < await link.ask("TTL", f"{prefix}_celery-taskset-meta-g.j") <= 3600


async def test_a_key_of_another_type_is_an_error_and_changes_nothing(
    backend: RedisBackend, link: Link, prefix: str
) -> None:
    await link.ask("SET", f"{prefix}_celery-taskset-meta-g.j", "x")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await backend.join(part("g", 0))
    assert await keys(link, prefix) == {"celery-taskset-meta-g.j"}
