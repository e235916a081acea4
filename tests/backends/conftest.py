"""A Redis backend in a part of the server that is a test's own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from tools.redis_server import RedisServer
from umbel.backends.redis import RedisBackend
from umbel.stores.redis.address import addresses
from umbel.stores.redis.link import Link


@pytest.fixture
def prefix() -> str:
    return f"results-{uuid.uuid4().hex}"


@pytest.fixture
async def backend(redis: RedisServer, prefix: str) -> AsyncIterator[RedisBackend]:
    """Its keys are this test's own."""
    async with RedisBackend(f"{redis.url}?global_keyprefix={prefix}", {}) as made:
        yield made


@pytest.fixture
async def link(redis: RedisServer) -> AsyncIterator[Link]:
    """A connection of somebody else's."""
    made = Link(addresses(redis.url))
    yield made
    await made.close()
