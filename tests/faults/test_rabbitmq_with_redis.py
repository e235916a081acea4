"""Workers whose messages are on RabbitMQ and whose results are on Redis, which are two servers that fail apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.on_redis import Beside
from tests.faults.scenarios import Enter
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer

pytestmark = [pytest.mark.server, pytest.mark.slow]

TASKS = 100
MOST = 6
"""Kills: after each, what comes again is looked up for two seconds."""


@pytest.fixture
def results(tmp_path: Path) -> Iterator[RedisServer]:
    """One that answers when its disk has it."""
    made = RedisServer(tmp_path / "server", "--appendfsync", "always")
    made.start()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, rabbitmq: RabbitMQ, results: RedisServer) -> Iterator[Beside]:
    (tmp_path / "site").mkdir()
    made = Beside(tmp_path / "site", rabbitmq, results)
    yield made
    made.close()


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_however_a_worker_is_killed(seed: int, site: Beside, enter: Enter) -> None:
    ledger = site.ledger(f"RabbitMQ, results on Redis, kills, seed {seed}")
    scenarios.kill_a_worker(site, ledger, enter, seed, TASKS, MOST)


def test_without_a_kill_everything_is_run_exactly_once(site: Beside, enter: Enter) -> None:
    scenarios.disturb_nothing(site, site.ledger("RabbitMQ, results on Redis, no kills"), enter, TASKS)


def test_results_that_their_server_cannot_take_are_kept_until_it_is_back(
    site: Beside, results: RedisServer, enter: Enter
) -> None:
    """It is killed while tasks run, time and again; no message is settled before its result is there."""
    ledger = site.ledger("RabbitMQ, results on Redis, which is killed")
    scenarios.kill_a_server(site, ledger, enter, results, 3)
    assert not ledger.refused
