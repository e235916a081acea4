"""What every adapter must do that has a bus."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import anyio
import pytest

from umbel.model import Envelope
from umbel.ports import Bus, HasBus
from umbel.serial import accepted
from umbel.testing.conformance.harness import PATIENCE, AdapterSuite, on_another_loop, until
from umbel.wire.control import Command, read_answer, read_command, write_answer, write_command

JSON = accepted(["json"])

MOMENT = 0.2
"""Seconds in which nothing is to come: enough for what would."""


class BusAdapter(HasBus, Protocol):
    """A broker with the power."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass
class Node:
    """What one listener heard."""

    name: str
    lists: list[list[Command]] = field(default_factory=list)
    _news: anyio.Event = field(default_factory=anyio.Event)

    @property
    def heard(self) -> list[str]:
        return [command.method for each in self.lists for command in each]

    async def listen(self, bus: Bus) -> None:
        async with aclosing(bus.hear(self.name)) as lists:
            async for envelopes in lists:
                self.lists.append([read_command(envelope, accept=JSON) for envelope in envelopes])
                self._news.set()
                self._news = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(PATIENCE):
            while not condition():
                await self._news.wait()

    async def hears(self, *methods: str) -> None:
        """Return once it has heard so many; fails when they are others, or in another order."""
        await self.until(lambda: len(self.heard) >= len(methods))
        assert self.heard == list(methods)


@asynccontextmanager
async def node_on(bus: Bus) -> AsyncIterator[Node]:
    """A node that listens, for the length of the block."""
    node = Node(f"node-{uuid.uuid4().hex}@here")
    listening = asyncio.create_task(node.listen(bus))
    try:
        await node.until(lambda: bool(node.lists))
        assert node.lists == [[]]
        yield node
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


def command(bus: Bus, method: str, ticket: str = "", reply_to: str = "") -> Envelope:
    return write_command(Command(method, {}, ticket=ticket, reply_to=reply_to), bus.form)


class BusConformance(AdapterSuite):
    """Subclass it, and override ``make_broker`` with a function that makes an adapter on the same server each time.

    Nobody else may use that server's bus while a test runs.
    """

    @pytest.fixture
    def make_broker(self) -> Callable[[], BusAdapter]:
        raise NotImplementedError

    @pytest.fixture
    async def bus(self, make_broker: Callable[[], BusAdapter]) -> AsyncIterator[Bus]:
        async with make_broker() as broker:
            yield broker.bus

    @pytest.fixture
    async def other(self, make_broker: Callable[[], BusAdapter]) -> AsyncIterator[Bus]:
        """As another process has it."""
        async with make_broker() as broker:
            yield broker.bus

    async def test_every_node_hears_what_is_sent_in_order(self, bus: Bus, other: Bus) -> None:
        async with node_on(bus) as one, node_on(other) as two:
            for method in ("a", "b", "c"):
                assert await other.send(command(other, method))
            await one.hears("a", "b", "c")
            await two.hears("a", "b", "c")

    async def test_who_sends_learns_whether_anybody_listens(self, bus: Bus) -> None:
        assert not await bus.send(command(bus, "early"))
        async with node_on(bus) as node:
            assert await bus.send(command(bus, "now"))
            await node.hears("now")
        await until(lambda: self._deaf(bus))

    async def _deaf(self, bus: Bus) -> bool:
        return not await bus.send(command(bus, "late"))

    async def test_two_loops_use_one_bus_side_by_side(self, make_broker: Callable[[], BusAdapter]) -> None:
        async with make_broker() as broker, node_on(broker.bus) as node:
            bus = broker.bus

            async def elsewhere() -> None:
                async with broker, bus.inbox() as inbox:
                    await bus.send(command(bus, "theirs", "ticket", inbox.address))
                    assert await inbox.next(PATIENCE) is not None

            async with anyio.create_task_group() as group:
                await bus.send(command(bus, "mine"))
                group.start_soon(on_another_loop, elsewhere)
                await node.hears("mine", "theirs")
                await bus.reply(node.lists[-1][0].reply_to, write_answer(node.name, "ticket", 1, bus.form))
            await bus.send(command(bus, "last"))
            await node.hears("mine", "theirs", "last")

    async def test_an_answer_reaches_the_one_who_asked_and_nobody_else(self, bus: Bus, other: Bus) -> None:
        async with node_on(bus) as node, other.inbox() as mine, other.inbox() as another:
            await other.send(command(other, "ask", "ticket", mine.address))
            await node.hears("ask")
            asked = node.lists[-1][0]
            assert (asked.ticket, asked.reply_to) == ("ticket", mine.address)
            for value in (1, 2):
                await bus.reply(asked.reply_to, write_answer(node.name, asked.ticket, value, bus.form))
            for value in (1, 2):
                answer = await mine.next(PATIENCE)
                assert answer is not None
                assert read_answer(answer, accept=JSON) == ("ticket", {node.name: value})
            assert await another.next(MOMENT) is None
            assert await mine.next(MOMENT) is None

    async def test_an_answer_to_one_who_has_gone_is_no_error(self, bus: Bus) -> None:
        async with bus.inbox() as inbox:
            address = inbox.address
        await bus.reply(address, write_answer("n", "t", 1, bus.form))
        await bus.reply("never-was", write_answer("n", "t", 1, bus.form))

    async def test_listening_and_waiting_end_when_they_are_cancelled(self, bus: Bus) -> None:
        async with bus.inbox() as inbox:
            waiting = asyncio.create_task(inbox.next(PATIENCE))
            async with node_on(bus):
                pass
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await bus.reply(inbox.address, write_answer("n", "t", 1, bus.form))
            assert await inbox.next(PATIENCE) is not None

    async def test_a_node_that_listens_again_hears_only_what_is_new(self, bus: Bus) -> None:
        async with node_on(bus) as first:
            await bus.send(command(bus, "old"))
            await first.hears("old")
        async with node_on(bus) as second:
            await bus.send(command(bus, "new"))
            await second.hears("new")
