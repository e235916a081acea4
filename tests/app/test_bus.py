"""Tests of asking nodes over a bus, from the side that asks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from umbel.app import Umbel
from umbel.bus import ask, bus_of, tell
from umbel.ports import Bus
from umbel.serial import accepted
from umbel.wire.control import Command, read_command, write_answer

JSON = accepted(["json"])
KEY = "a secret of some length"


@pytest.fixture
def app() -> Iterator[Umbel]:
    with Umbel("t", broker=f"memory://{uuid.uuid4().hex}", set_as_current=False) as made:
        yield made


@asynccontextmanager
async def node_on(app: Umbel, name: str, answers: list[Any], signed: bool = True) -> AsyncIterator[None]:
    """A node that answers each command so."""
    bus = bus_of(app)
    assert bus is not None
    ready = asyncio.Event()

    async def live(bus: Bus) -> None:
        async with aclosing(bus.hear(name)) as heard:
            async for envelopes in heard:
                ready.set()
                for envelope in envelopes:
                    command = read_command(envelope, accept=JSON)
                    protection = app.protection if signed else None
                    for answer in answers:
                        reply = write_answer(name, command.ticket, answer, bus.form, protection=protection)
                        await bus.reply(command.reply_to, reply)

    living = asyncio.create_task(live(bus))
    await ready.wait()
    yield
    living.cancel()
    with pytest.raises(asyncio.CancelledError):
        await living


async def asked(app: Umbel, **options: Any) -> dict[str, Any]:
    bus = bus_of(app)
    assert bus is not None
    destination = options.pop("destination", ())
    return await ask(app, bus, Command("ping", {}, destination), **options)


async def test_all_who_answer_in_time_are_heard(app: Umbel) -> None:
    async with node_on(app, "a", [1]), node_on(app, "b", [2]), node_on(app, "silent", []):
        assert await asked(app, timeout=0.2) == {"a": 1, "b": 2}


async def test_nobody_is_waited_for_where_nobody_listens(app: Umbel) -> None:
    assert await asked(app, timeout=3600) == {}
    bus = bus_of(app)
    assert bus is not None
    assert not await tell(app, bus, Command("ping", {}))


async def test_no_more_is_waited_for_than_was_asked_for(app: Umbel) -> None:
    async with node_on(app, "a", [1]), node_on(app, "b", [2]):
        assert len(await asked(app, timeout=3600, limit=1)) == 1
        assert await asked(app, timeout=3600, destination=("a", "b")) == {"a": 1, "b": 2}


async def test_an_answer_that_is_not_signed_is_passed_over_where_keys_are(
    app: Umbel, caplog: pytest.LogCaptureFixture
) -> None:
    app.conf.security_signing_keys = [KEY]
    async with node_on(app, "liar", [1], signed=False), node_on(app, "a", [2]):
        assert await asked(app, timeout=0.2) == {"a": 2}
    assert "An answer to ping is passed over: the message is not signed" in caplog.text


async def test_answers_without_end_are_not_waited_for_without_end(app: Umbel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umbel.bus._ROUNDS", 0)
    async with node_on(app, "a", [1] * 1000):
        assert await asked(app, timeout=3600) == {}


def test_a_broker_in_a_file_has_no_bus(tmp_path: Any) -> None:
    with Umbel("t", broker=f"sqlite:///{tmp_path}/x.db", set_as_current=False) as app:
        assert bus_of(app) is None
