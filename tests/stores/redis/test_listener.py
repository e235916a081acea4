"""Hearing what is published on a Redis server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tools.ports import free_port
from tools.redis_server import RedisServer
from umbel.errors import StoreUnreachable
from umbel.stores.redis.address import addresses
from umbel.stores.redis.link import Link
from umbel.stores.redis.listener import Listener
from umbel.testing.conformance.harness import PATIENCE, until

pytestmark = pytest.mark.server


class Heard:
    """An ear, and all that came to it."""

    def __init__(self) -> None:
        self.all: list[bytes | None] = []
        self._news = anyio.Event()

    def __call__(self, payload: bytes | None) -> None:
        self.all.append(payload)
        self._news.set()
        self._news = anyio.Event()

    async def hears(self, *payloads: bytes | None) -> None:
        with anyio.fail_after(PATIENCE):
            while len(self.all) < len(payloads):
                await self._news.wait()
        assert self.all == list(payloads)


@pytest.fixture
def channel() -> str:
    return f"channel-{uuid.uuid4().hex}"


@pytest.fixture
async def link(redis: RedisServer) -> AsyncIterator[Link]:
    made = Link(addresses(redis.url))
    yield made
    await made.close()


@pytest.fixture
async def listener(redis: RedisServer) -> AsyncIterator[Listener]:
    made = Listener(addresses(redis.url))
    yield made
    await made.close()


async def test_everybody_hears_what_is_published_after_the_begin(listener: Listener, link: Link, channel: str) -> None:
    one, two, other = Heard(), Heard(), Heard()
    assert await link.ask("PUBLISH", channel, "early") == 0
    await asyncio.gather(
        listener.follow([channel], one), listener.follow([channel], two), listener.follow([f"{channel}.b"], other)
    )
    assert await link.ask("PUBLISH", channel, "now") == 1
    await link.ask("PUBLISH", f"{channel}.b", "other")
    await one.hears(b"now")
    await two.hears(b"now")
    await other.hears(b"other")


async def test_who_leaves_hears_nothing_more(listener: Listener, link: Link, channel: str) -> None:
    one, two = Heard(), Heard()
    await listener.follow([channel, f"{channel}.b"], one)
    await listener.follow([channel], two)
    listener.leave([channel, f"{channel}.b"], one)
    await link.ask("PUBLISH", channel, "later")
    await two.hears(b"later")
    assert one.all == []
    listener.leave([channel], two)

    async def gone() -> bool:
        return bool(await link.ask("PUBLISH", channel, "nobody") == 0)

    await until(gone)
    await listener.follow([channel], one)
    await link.ask("PUBLISH", channel, "again")
    await one.hears(b"again")


async def test_a_connection_that_is_lost_is_made_again_and_every_ear_is_told(
    listener: Listener, link: Link, channel: str
) -> None:
    one, other = Heard(), Heard()
    await listener.follow([channel, f"{channel}.b"], one)
    await listener.follow([f"{channel}.c"], other)
    for _ in range(2):
        await link.ask("CLIENT", "KILL", "TYPE", "pubsub")
    await one.hears(None)
    await other.hears(None)
    await link.ask("PUBLISH", f"{channel}.b", "after")
    await one.hears(None, b"after")


async def test_a_connection_that_nobody_needs_goes_in_time(
    redis: RedisServer, link: Link, channel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umbel.stores.redis.listener.LINGERS", 0.05)
    listener, heard = Listener(addresses(redis.url)), Heard()

    async def connected() -> bool:
        return bool(await link.ask("CLIENT", "LIST", "TYPE", "pubsub"))

    for _ in range(2):
        await listener.follow([channel], heard)
        assert await connected()
        listener.leave([channel], heard)

        async def gone() -> bool:
            return not await connected()

        await until(gone)
    await listener.follow([channel], heard)
    listener.leave([channel], heard)
    await listener.follow([channel], heard)
    await asyncio.sleep(0.1)  # the case itself: longer than it lingers
    assert await connected()
    await listener.close()


async def test_a_thousand_channels_are_heard(listener: Listener, link: Link, channel: str) -> None:
    heard = Heard()
    channels = [f"{channel}.{number}" for number in range(1000)]
    await listener.follow(channels, heard)
    await link.ask_all([("PUBLISH", each, each) for each in channels])
    await heard.hears(*(each.encode() for each in channels))


async def test_a_server_that_is_away_is_told_at_once_and_a_follower_that_leaves_meanwhile_leaves_nothing(
    tmp_path: Path, channel: str
) -> None:
    away = Listener(addresses(f"redis://127.0.0.1:{free_port()}"))
    with pytest.raises(StoreUnreachable):
        await away.follow([channel], Heard())
    server = RedisServer(tmp_path / "server")
    server.start()
    try:
        listener = Listener(addresses(server.url))
        leaving = asyncio.create_task(listener.follow([channel], Heard()))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving

        async def nobody() -> bool:
            return "umbel" not in server.command("CLIENT", "LIST")

        await until(nobody)
        heard = Heard()
        await listener.follow([channel], heard)
        server.kill()
        server.start()
        await heard.hears(None)
        server.command("PUBLISH", channel, "back")
        await heard.hears(None, b"back")
        await listener.close()
    finally:
        server.close()
