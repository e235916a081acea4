"""A Redis server that is killed, stands still or runs out of memory under load."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.checker import Ledger
from tests.faults.mill import KINDS
from tests.faults.on_redis import OnRedis
from tests.faults.scenarios import Enter
from tests.faults.site import until
from tools.redis_server import RedisServer
from umbel.errors import PublishError

pytestmark = [pytest.mark.server, pytest.mark.slow]

STEADY = ("plain", "brief", "waits", "fails", "refuses", "ignores", "early")
"""What sends nothing more and is not put back: it leaves a server that has no room for anything."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """One that answers when its disk has it."""
    made = RedisServer(tmp_path / "server", "--appendfsync", "always")
    made.start()
    yield made
    made.close()


@pytest.fixture
def make_site(tmp_path: Path, server: RedisServer) -> Iterator[Callable[..., OnRedis]]:
    made: list[OnRedis] = []
    (tmp_path / "site").mkdir()

    def make(lease: float = 25.0, backend: str = "") -> OnRedis:
        made.append(OnRedis(tmp_path / "site", server, lease=lease, backend=backend))
        return made[-1]

    yield make
    for site in made:
        site.close()


def look(ledger: Ledger) -> list[str]:
    """What has no end."""
    ledger.look()
    return ledger.open()


def test_a_server_that_is_killed_under_load_loses_nothing_that_was_accepted_and_doubles_nothing(
    make_site: Callable[..., OnRedis], server: RedisServer, enter: Enter
) -> None:
    site = make_site()
    site.app.conf.broker_publish_timeout = 1.0
    ledger = site.ledger("Redis, server killed")
    scenarios.kill_a_server(site, ledger, enter, server, 3)


def test_a_server_that_stands_still_for_longer_than_any_lease_takes_no_task_from_its_worker(
    make_site: Callable[..., OnRedis], server: RedisServer
) -> None:
    site = make_site(lease=3)
    workers = [site.worker("-c", "1"), site.worker("-c", "1")]
    held = [site.app.send_task("poison.hold", ["go"]) for _ in range(2)]
    site.wait_for_note("hold", 2)
    os.kill(server.pid, signal.SIGSTOP)
    time.sleep(8)  # the case itself: longer than a lease, shorter than a connection that is given up
    os.kill(server.pid, signal.SIGCONT)
    answer = site.app.send_task("poison.answer")
    time.sleep(3)  # time for others to take them over
    site.go()
    assert [site.get(result) for result in held] == [None, None]
    assert site.get(answer) == 42
    assert site.count("hold") == 2
    assert all(worker.process.poll() is None for worker in workers)


@pytest.mark.parametrize("apart", [False, True], ids=["one store", "results apart"])
def test_a_server_without_memory_refuses_calls_and_lets_workers_settle(
    apart: bool, make_site: Callable[..., OnRedis], server: RedisServer, tmp_path: Path, enter: Enter
) -> None:
    site = make_site(backend=f"sqlite:///{tmp_path}/results.db" if apart else "")
    ledger = site.ledger(f"Redis, out of memory{', results apart' if apart else ''}")
    ledger.send_mixed(site.app, 42, 100, STEADY)
    follow = [name for name in KINDS if name not in STEADY]
    ledger.send_mixed(site.app, 43, 20, follow)
    held = [site.app.send_task("poison.hold", ["go"]) for _ in range(2)]
    site.app.conf.broker_publish_timeout = 1.0
    server.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(PublishError, match="no memory is left for it"):
        site.app.send_task("poison.answer")
    worker = site.worker("-c", "2")
    site.wait_for_note("hold", 2)
    site.go()
    assert [site.get(result) for result in held] == [None, None]
    steady = [task_id for task_id, kind in ledger.accepted.items() if kind in STEADY]
    until(lambda: not set(steady).intersection(look(ledger)), what=lambda: (ledger.account(), worker.text()[-3000:]))
    server.command("CONFIG", "SET", "maxmemory", "0")
    ledger.send_mixed(site.app, 44, 50)
    scenarios.done(ledger, site, worker, enter, 1)
