"""A Redis broker in a part of the server that is a test's own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from tools.redis_server import RedisServer
from umbel.brokers.redis import RedisBroker
from umbel.stores.redis.address import addresses
from umbel.stores.redis.link import Link


@pytest.fixture
def queue() -> str:
    return f"redis-{uuid.uuid4().hex}"


@pytest.fixture
def url(redis: RedisServer, queue: str) -> str:
    """A part of the server that is this test's own."""
    return f"{redis.url}?global_keyprefix={queue}:"


@pytest.fixture
async def broker(url: str) -> AsyncIterator[RedisBroker]:
    async with RedisBroker(url) as made:
        yield made


@pytest.fixture
async def link(redis: RedisServer) -> AsyncIterator[Link]:
    """A connection of somebody else's."""
    made = Link(addresses(redis.url))
    yield made
    await made.close()


@pytest.fixture
async def hasty(url: str) -> AsyncIterator[RedisBroker]:
    """A broker whose claims end a second after the last renewal, and which looks for such claims often."""
    async with RedisBroker(f"{url}&lease=1") as made:
        yield made
