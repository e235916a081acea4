"""A worker and its clients on a RabbitMQ server, and on a result store beside it, whose calls fail time and again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import injecting
from tests.faults.checker import Diary, Ledger, dead_ids
from tests.faults.injecting import COMES_BACK, SENT_APART
from tests.faults.mill import open_mill
from tests.faults.scenarios import Enter
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer
from umbel.app import Umbel

pytestmark = [pytest.mark.server, pytest.mark.slow]


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


@pytest.mark.parametrize("seed", range(3))
def test_every_promise_holds_while_calls_fail_on_both_sides(
    seed: int, results: str, make_app: Callable[[], Umbel], tmp_path: Path, enter: Enter
) -> None:
    watcher = make_app()
    ledger = Ledger(
        f"RabbitMQ, results on {results.partition(':')[0]}, seed {seed}",
        watcher,
        Diary(tmp_path / "diary"),
        lambda: dead_ids(watcher),
    )
    injecting.fail_on_both_sides(seed, ledger, make_app, (*SENT_APART, *COMES_BACK), enter)
