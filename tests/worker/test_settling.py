"""When those are told who wait for a settlement."""

from __future__ import annotations

import asyncio
import uuid
from typing import cast

from umbel.brokers.memory import MemoryBroker
from umbel.clock import SystemClock
from umbel.model import ACK, Envelope, Route, Settlement
from umbel.ports import AnswersLate, Consumer
from umbel.testing.conformance.harness import PATIENCE, listening
from umbel.worker.settling import Settling


class Late:
    """A consumer whose server has heard of nothing until ``open`` is set."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._consumer, name)

    async def heard(self) -> None:
        self.asked.set()
        await self.open.wait()


async def test_who_waits_for_a_settlement_is_told_when_the_server_has_heard_of_it() -> None:
    async with MemoryBroker(f"memory://{uuid.uuid4().hex}") as broker:
        await broker.publish([(Route("queue"), Envelope("plain", "a", b"", b""))])
        async with listening(await broker.consume(["queue"], 1)) as ear:
            (delivery,) = await ear.hears(1)
            late, told = Late(ear.consumer), asyncio.Event()
            assert isinstance(late, AnswersLate)
            settling = Settling(broker, cast(Consumer, late), None, SystemClock())
            service = asyncio.create_task(settling.run())
            settling.settle([Settlement(delivery, ACK)], told.set)
            await late.asked.wait()
            for _ in range(100):  # whoever could be told now would be
                await asyncio.sleep(0)
            assert not told.is_set()
            assert not settling.idle
            late.open.set()
            await asyncio.wait_for(told.wait(), PATIENCE)
            service.cancel()
