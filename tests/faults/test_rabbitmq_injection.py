"""A worker and its clients on a RabbitMQ server, and on a result store beside it, whose calls fail time and again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.alone import Worker
from tests.faults.checker import Account, Diary, Ledger, ask, dead_ids
from tests.faults.mill import open_mill
from tests.faults.test_injection import COMES_BACK, PAUSE, RATE, SENT_APART, TASKS
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.ports import Broker, ResultBackend
from umbel.testing.faulty import Faults, inject

pytestmark = [pytest.mark.server, pytest.mark.slow]

Enter = Callable[[Account], None]


@pytest.fixture(params=["sqlite", "redis"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where results are kept."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/results.db"
    server: RedisServer = request.getfixturevalue("redis")
    return f"{server.url}?global_keyprefix=injection-{uuid.uuid4().hex}:"


@pytest.fixture
def make_app(tmp_path: Path, rabbitmq: RabbitMQ, results: str) -> Callable[[], Umbel]:
    """Makes apps that all use the same queue and the same results."""
    queue = f"injection-{uuid.uuid4().hex}"

    def make() -> Umbel:
        app = Umbel("mill", broker=rabbitmq.url, backend=results, set_as_current=False)
        app.conf.task_default_queue = queue
        return open_mill(app, tmp_path / "diary")

    return make


def left_over(app: Umbel) -> int:
    """Messages of the queue that nobody has been handed."""

    async def size(broker: Broker, backend: ResultBackend) -> int:
        return await broker.size(app.conf.task_default_queue)

    return ask(app, size)


@pytest.mark.parametrize("seed", range(3))
def test_every_promise_holds_while_calls_fail_on_both_sides(
    seed: int, results: str, make_app: Callable[[], Umbel], tmp_path: Path, enter: Enter
) -> None:
    watcher, client, server = make_app(), make_app(), make_app()
    ledger = Ledger(
        f"RabbitMQ, results on {results.partition(':')[0]}, seed {seed}",
        watcher,
        Diary(tmp_path / "diary"),
        lambda: dead_ids(watcher),
    )
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
        with Worker(make_app()):
            ledger.wait(lambda: not left_over(watcher))
    enter(ledger.account(sum(outside.struck.values()) + sum(inside.struck.values())))
    assert inside.struck["settle", "before"]
    assert inside.struck["settle", "after"]
    assert ledger.refused
    ledger.check(may_repeat=(*SENT_APART, *COMES_BACK))
    for app in (watcher, client, server):
        app.close()
