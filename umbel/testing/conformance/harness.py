"""What the suites share: envelopes, an ear on a consumer, and waiting for conditions."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest

from umbel.model import Delivery, Envelope, Route, Settlement, Verdict
from umbel.ports import Broker, Consumer

PATIENCE = 60.0
"""Seconds after which a condition that was waited for counts as failed."""

_numbers = itertools.count(1)


class AdapterSuite:
    """What every suite for an adapter has: asyncio, a queue of its own, envelopes of the adapter's form."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def queue(self) -> str:
        """The name of a queue that no other test uses."""
        return f"conformance-{uuid.uuid4().hex}"

    def envelope(self, broker: Broker, body: bytes = b"body", head: bytes = b"head", id: str | None = None) -> Envelope:
        """An envelope that this broker can carry; override it for a form whose head must mean something."""
        return Envelope(broker.form, id or f"{uuid.uuid4()}", head, body)

    def arrives_as(self, envelope: Envelope, priority: int | None) -> Envelope:
        """What a delivery of ``envelope`` sent with ``priority`` holds; override it where the head tells it."""
        return envelope

    def numbered(self, broker: Broker, count: int) -> list[Envelope]:
        """Envelopes whose bodies tell them apart and rise in order."""
        return [self.envelope(broker, b"%06d" % next(_numbers)) for _ in range(count)]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once the condition holds; fails after ``PATIENCE``."""
    with anyio.fail_after(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - a store has no event to wait for
            await anyio.sleep(0.005)


async def on_another_loop(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Do this work in another thread, on a loop of its own; this loop goes on. Fails after ``PATIENCE``."""

    async def bounded() -> None:
        with anyio.fail_after(PATIENCE):
            await work()

    await asyncio.to_thread(lambda: asyncio.run(bounded()))


@dataclass
class Ear:
    """Every delivery that a consumer made while somebody listened."""

    consumer: Consumer
    batches: list[list[Delivery]] = field(default_factory=list)
    ended: bool = False
    _news: anyio.Event = field(default_factory=anyio.Event)

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery for batch in self.batches for delivery in batch]

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.envelope.body for delivery in self.deliveries]

    async def listen(self) -> None:
        async for batch in self.consumer:
            self.batches.append(batch)
            self._stir()
        self.ended = True
        self._stir()

    def _stir(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def hears(self, count: int) -> list[Delivery]:
        """All deliveries once there are ``count`` of them; fails on more, and when they do not come."""
        with anyio.fail_after(PATIENCE):
            while len(self.deliveries) < count:
                await self._news.wait()
        assert len(self.deliveries) == count
        return self.deliveries

    async def ends(self) -> None:
        """Return once the consumer's iteration has ended."""
        with anyio.fail_after(PATIENCE):
            while not self.ended:
                await self._news.wait()


@asynccontextmanager
async def listening(consumer: Consumer) -> AsyncIterator[Ear]:
    """An ear on the consumer for the length of the block; closes the consumer afterwards."""
    ear = Ear(consumer)
    async with anyio.create_task_group() as group:
        group.start_soon(ear.listen)
        try:
            yield ear
        finally:
            group.cancel_scope.cancel()
    with anyio.CancelScope(shield=True):
        await consumer.close()


async def take(broker: Broker, queue: str, count: int, prefetch: int = 1000) -> list[Delivery]:
    """Claim ``count`` deliveries with a consumer of its own, which settles none and is closed at once."""
    async with listening(await broker.consume([queue], prefetch)) as ear:
        return await ear.hears(count)


async def settle_all(consumer: Consumer, deliveries: Sequence[Delivery], verdict: Verdict) -> None:
    await consumer.settle([Settlement(delivery, verdict) for delivery in deliveries])


def to(queue: str, envelopes: Sequence[Envelope], due: float | None = None) -> list[tuple[Route, Envelope]]:
    """The envelopes, addressed."""
    return [(Route(queue, due=due), envelope) for envelope in envelopes]
