"""Workers whose messages are on RabbitMQ and whose results are on Redis, which are two servers that fail apart."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.checker import Account
from tests.faults.on_redis import Beside
from tests.faults.site import Killer, Supervisor, until
from tests.faults.test_kills import HOWS, KILLS, LATE, PATIENT, ended, enough
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer

pytestmark = [pytest.mark.server, pytest.mark.slow]

TASKS = 100
MOST = 6
"""Kills: after each, what comes again is looked up for two seconds."""

Enter = Callable[[Account], None]


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
    ledger.send_mixed(site.app, seed, TASKS)
    site.witness()
    supervisor = Supervisor(site, "-c", "2", *PATIENT)
    killer = Killer(ledger, supervisor, random.Random(seed), HOWS)

    def kill() -> None:
        if ledger.killed < MOST:
            killer.look()

    until(ended(ledger, site, KILLS), supervisor.look, kill, enough(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check(may_repeat=LATE)
    assert site.written_twice() == []


def test_without_a_kill_everything_is_run_exactly_once(site: Beside, enter: Enter) -> None:
    ledger = site.ledger("RabbitMQ, results on Redis, no kills")
    ledger.send_mixed(site.app, 78, TASKS)
    site.witness()
    site.worker("-c", "2")
    until(ended(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check()
    assert site.written_twice() == []


def test_results_that_their_server_cannot_take_are_kept_until_it_is_back(
    site: Beside, results: RedisServer, enter: Enter
) -> None:
    """It is killed while tasks run, time and again; no message is settled before its result is there."""
    ledger = site.ledger("RabbitMQ, results on Redis, which is killed")
    ledger.send_mixed(site.app, 41, TASKS)
    worker = site.worker("-c", "2")
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            ledger.send(site.app, "plain")
            over.wait(0.01)

    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(3):
        lines = ledger.diary.read()
        until(lambda lines=lines: ledger.diary.read() > lines + 20, what=ledger.account)  # type: ignore[misc]
        results.kill()
        time.sleep(0.3)  # for the worker to find it gone
        results.start()
        back, lines = time.monotonic(), ledger.diary.read()
        until(lambda lines=lines: ledger.diary.read() > lines, what=worker.text)  # type: ignore[misc]
        ledger.recovered = max(ledger.recovered or 0.0, time.monotonic() - back)
    over.set()
    sender.join()
    until(ended(ledger, site), what=lambda: (ledger.account(), worker.text()[-3000:]))
    enter(ledger.account(3))
    ledger.check()
    assert not ledger.refused
    assert worker.process.poll() is None
