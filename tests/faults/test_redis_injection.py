"""A worker and its clients on a Redis server whose calls fail time and again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.alone import Worker
from tests.faults.checker import Account, Diary, Ledger, ask, dead_ids
from tests.faults.mill import open_mill
from tests.faults.test_injection import COMES_BACK, PAUSE, RATE, SENT_APART, SENT_LOOSE, TASKS
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.ports import Broker, ResultBackend
from umbel.testing.faulty import Faults, inject

pytestmark = [pytest.mark.server, pytest.mark.slow]

Enter = Callable[[Account], None]
LAYOUTS = {"one": SENT_LOOSE, "two": SENT_APART}
"""Where results are, and the kinds of which an attempt may be sent twice."""


@pytest.fixture
def make_app(tmp_path: Path, redis: RedisServer) -> Callable[[str], Umbel]:
    """Makes apps that all use the same keys and the same results."""
    prefix = f"injection-{uuid.uuid4().hex}:"

    def make(layout: str) -> Umbel:
        app = Umbel("mill", broker=f"{redis.url}?global_keyprefix={prefix}", set_as_current=False)
        if layout == "two":
            app.conf.result_backend = f"sqlite:///{tmp_path}/results.db"
        return open_mill(app, tmp_path / "diary")

    return make


def left_over(app: Umbel) -> int:
    """Messages of the queue that nobody has been handed."""

    async def size(broker: Broker, backend: ResultBackend) -> int:
        return await broker.size(app.conf.task_default_queue)

    return ask(app, size)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(3))
def test_every_promise_holds_while_calls_fail_on_both_sides(
    seed: int, layout: str, make_app: Callable[[str], Umbel], tmp_path: Path, enter: Enter
) -> None:
    watcher, client, server = make_app(layout), make_app(layout), make_app(layout)
    ledger = Ledger(f"Redis, {layout}, seed {seed}", watcher, Diary(tmp_path / "diary"), lambda: dead_ids(watcher))
    outside, inside = Faults(seed, RATE, pause=PAUSE), Faults(1000 + seed, RATE, pause=PAUSE)
    inject(client, outside)
    inject(server, inside)
    with Worker(server) as worker:
        ledger.send_mixed(client, seed, TASKS)
        for _ in range(5):
            ledger.send_batch(client, "plain", 10)
        ledger.wait(lambda: not left_over(watcher))
    assert worker.status == 0
    while left_over(watcher):
        with Worker(make_app(layout)):
            ledger.wait(lambda: not left_over(watcher))
    enter(ledger.account(sum(outside.struck.values()) + sum(inside.struck.values())))
    assert inside.struck["settle", "before"]
    assert inside.struck["settle", "after"]
    assert ledger.refused
    ledger.check(may_repeat=(*LAYOUTS[layout], *COMES_BACK))
    for app in (watcher, client, server):
        app.close()
