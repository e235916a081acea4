"""What a Redis server is not set up for is said."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.redis_server import RedisServer
from umbel.backends.redis import RedisBackend
from umbel.brokers.redis import RedisBroker
from umbel.stores.redis.admitting import shortcomings
from umbel.worker.shortcomings import warn_of_shortcomings

GOOD = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory": "0", "maxmemory-policy": "noeviction"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, []),
        ({"save": "3600 1"}, []),
        ({"maxmemory": "100", "maxmemory-policy": "noeviction"}, []),
        ({"maxmemory-policy": "allkeys-lru"}, []),
        ({"connected_slaves": "1", "min-replicas-to-write": "1"}, []),
        ({"appendfsync": "everysec"}, ["the last second"]),
        ({"appendfsync": "no"}, ["the last half minute"]),
        ({"appendonly": "no"}, ["keeps nothing on its disk"]),
        ({"appendonly": "no", "save": "3600 1"}, ["after its last snapshot"]),
        ({"maxmemory": "100", "maxmemory-policy": "allkeys-lru"}, ["throws messages away"]),
        ({"maxmemory": "100", "maxmemory-policy": "volatile-ttl"}, ["throws results and dead letters away"]),
        ({"connected_slaves": "1", "min-replicas-to-write": "0"}, ["a failover may lose"]),
    ],
)
def test_each_setting_that_gives_a_promise_up_has_its_sentence(changes: dict[str, str], told: list[str]) -> None:
    found = list(shortcomings({**GOOD, **changes}))
    assert len(found) == len(told)
    for sentence, part in zip(found, told, strict=True):
        assert part in sentence


def test_what_a_server_does_not_tell_is_not_held_against_it() -> None:
    assert list(shortcomings({"maxmemory-policy": "noeviction"})) == []


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        servers.append(RedisServer(tmp_path / f"server-{len(servers)}", *options))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.mark.server
async def test_a_server_is_asked_and_each_sentence_said_once(
    start: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    options = ["--appendonly", "no", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-random"]
    server = start(*options, "--requirepass", "secret")
    url = server.url.replace("redis://", "redis://:secret@")
    async with RedisBroker(url) as broker, RedisBackend(url) as backend:
        await warn_of_shortcomings([broker, backend, None, object()])
    assert len(caplog.records) == 2
    assert "it keeps nothing on its disk" in caplog.records[0].message
    assert "it throws messages away" in caplog.records[1].message
    assert re.match(r"redis://:\*\*@127\.0\.0\.1:\d+/0: ", caplog.records[0].message)
    assert "secret" not in caplog.text


@pytest.mark.server
async def test_a_server_that_keeps_its_settings_to_itself_tells_what_everybody_may_know(
    start: Callable[..., RedisServer],
) -> None:
    server = start("--appendonly", "no", "--rename-command", "CONFIG", "")
    async with RedisBroker(server.url) as broker:
        (told,) = await broker.shortcomings()
    assert "after its last snapshot" in told


@pytest.mark.server
async def test_a_server_that_is_away_is_only_asked(caplog: pytest.LogCaptureFixture) -> None:
    async with RedisBroker("redis://127.0.0.1:1/0") as broker:
        await warn_of_shortcomings([broker])
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
