"""Chords whose workers die: their body is sent, or hears of it."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.faults.checker import ask
from tests.worker.process import Shop, wait_until
from umbel.call import NO_OPTIONS
from umbel.joins import Joins
from umbel.model import Links
from umbel.ports import Broker, ResultBackend
from umbel.result import AsyncResult
from umbel.worker.joining import desk_of


def sig(task: str, *args: Any, immutable: bool = False, **options: Any) -> dict[str, Any]:
    return {"task": task, "args": list(args), "kwargs": {}, "options": options, "immutable": immutable}


CHORDS = """

from umbel.worker import joining

joining.CLAIM = 1.0


@app.task(acks_late=False)
def early(n):
    note(f"start early {n}")
    return n


@app.task
def gathered(values):
    note(f"gathered {values}")
    return values


if "SHOP_HALTS" in os.environ:
    whole = joining.Joining.end

    async def halted(*args):
        found = await whole(*args)
        if found is not None:
            note("halted after joining")
            wait_for("never")
        return found

    joining.Joining.end = halted
"""


def send_chord(shop: Shop, *parts: tuple[str, *tuple[Any, ...]]) -> tuple[AsyncResult[Any], list[str]]:
    """Gives the result of the body, which tells ``shop.hears`` when it fails, and the ids of the parts."""
    group, body = uuid.uuid4().hex, uuid.uuid4().hex
    chord = sig("shop.gathered", task_id=body, link_error=[sig("shop.hears")])

    async def expect(broker: Broker, backend: ResultBackend) -> None:
        assert isinstance(backend, Joins)
        await backend.expect({group: len(parts)}, None)

    ask(shop.app, expect)
    ids = []
    for number, (name, *args) in enumerate(parts):
        route, message = shop.app.publisher.prepare(f"shop.{name}", args, {}, NO_OPTIONS)
        message = replace(message, group=group, group_index=number, links=Links(chord=chord))
        shop.app.publisher.send(route, message)
        ids.append(message.id)
    return shop.app.result(body), ids


def at_desk(shop: Shop) -> Mapping[str, bytes]:
    async def look(broker: Broker, backend: ResultBackend) -> Mapping[str, bytes]:
        assert isinstance(backend, Joins)
        return await backend.unsent(desk_of(shop.app, shop.app.conf.task_default_queue), 0.0)

    return ask(shop.app, look)


@pytest.mark.brokers("redis")
def test_the_body_outlives_the_worker_that_had_acknowledged_the_last_part(shop: Shop) -> None:
    module = shop.folder / "shop.py"
    module.write_text(module.read_text() + CHORDS)
    shop.environ["SHOP_HALTS"] = "1"
    worker = shop.worker("-c", "1")
    body, _ = send_chord(shop, ("early", 1), ("early", 2))
    shop.wait_for_note("halted after joining")
    worker.kill_tree()
    assert body.state == "PENDING"
    del shop.environ["SHOP_HALTS"]
    other = shop.worker("-c", "1")
    assert shop.get(body) == [1, 2]
    assert (shop.count("start early"), shop.count("gathered")) == (2, 1)
    assert "was not sent by whoever joined it" in other.text()
    wait_until(lambda: not at_desk(shop), "the store knows that the body is sent")


@pytest.mark.brokers("redis")
def test_the_body_hears_of_a_part_that_was_cut_off_with_its_worker(shop: Shop) -> None:
    module = shop.folder / "shop.py"
    module.write_text(module.read_text() + CHORDS)
    worker = shop.worker("-c", "2", "--grace", "0.2")
    body, (_, cut) = send_chord(shop, ("early", 1), ("hold_early", "a"))
    shop.wait_for_note("start early")
    shop.wait_for_note("start a")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 1
    shop.worker("-c", "1")
    with pytest.raises(Exception, match=f"Dependency {cut} raised WorkerLostError.*acks_late is off"):
        shop.get(body)
    shop.wait_for_note(f"hears {body.id}")
    assert (shop.count("hears"), shop.count("gathered")) == (1, 0)


@pytest.mark.brokers("redis")
def test_the_body_hears_of_a_part_that_takes_every_process_down(shop: Shop) -> None:
    module = shop.folder / "shop.py"
    module.write_text(module.read_text() + CHORDS)
    shop.worker("-c", "2")
    body, (bad, _) = send_chord(shop, ("exit_process",), ("early", 2))
    with pytest.raises(Exception, match=f"Dependency {bad} raised WorkerLostError.*task_max_starts=3"):
        shop.get(body)
    shop.wait_for_note(f"hears {body.id}")
    shop.wait_for_buried(bad)
    assert (shop.count("hears"), shop.count("gathered")) == (1, 0)
