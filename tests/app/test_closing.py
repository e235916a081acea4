"""Tests of letting go of connections, and of using an app again afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.worker.process import wait_until
from umbel import bridge
from umbel.app import Umbel
from umbel.model import Record
from umbel.wire import results


def descriptors(path: Path) -> list[str]:
    """What this process has open of the database."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith(str(path)):
            found.append(target)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "umbel.db"


@pytest.fixture
def app(path: Path) -> Umbel:
    return Umbel("shop", broker=f"sqlite:///{path}", set_as_current=False)


def send_and_ask(app: Umbel) -> str:
    sent = app.send_task("shop.add", (1, 2))
    with pytest.raises(TimeoutError):
        sent.get(timeout=0.01)
    return sent.id


def test_a_closed_app_has_nothing_open(app: Umbel, path: Path) -> None:
    send_and_ask(app)
    assert descriptors(path)
    app.close()
    wait_until(lambda: not descriptors(path))
    app.close()


def test_an_app_that_was_never_used_is_closed_without_touching_anything(app: Umbel, path: Path) -> None:
    with app as same:
        assert same is app
    assert app.broker is not None
    app.close()
    assert not path.exists()


def test_a_closed_app_can_be_used_again(app: Umbel) -> None:
    app.send_task("shop.add", (1, 2))
    app.close()
    id = send_and_ask(app)
    app.close()
    bridge.get().run(app.backend.store([results.seal(Record(id=id, state="SUCCESS", value=3))]))
    assert app.result(id).get() == 3
    app.close()


async def test_coroutines_close_it_too(app: Umbel, path: Path) -> None:
    async with app as same:
        assert same is app
        await app.aclose()
        result = app.result("x")
        assert await result.astate() == "PENDING"
        await app.broker.size("q")
    await app.aclose()
    assert descriptors(path) == []


def test_what_a_memory_store_holds_outlives_the_close() -> None:
    app = Umbel("shop", broker="memory://closing", set_as_current=False)
    with app:
        app.send_task("shop.add", (1, 2))
    assert bridge.get().run(app.broker.size("celery")) == 1
