"""Workers and callers whose connections to Redis are cut, stalled, swallowed and closed one way, under load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.on_redis import OnRedis
from tests.faults.scenarios import Enter, ended, next_run
from tests.faults.site import until
from tests.servers.proxy import Proxy
from tools.redis_server import RedisServer

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def proxy(redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis.port) as made:
        yield made


@pytest.fixture
def make_site(tmp_path: Path, redis: RedisServer, proxy: Proxy) -> Iterator[Callable[..., OnRedis]]:
    made: list[OnRedis] = []

    def make(lease: float = 25.0) -> OnRedis:
        made.append(OnRedis(tmp_path, redis, proxy, lease))
        return made[-1]

    yield make
    for site in made:
        site.close()


def test_connections_that_are_reset_are_made_again_and_no_task_is_run_twice(
    make_site: Callable[..., OnRedis], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("Redis, resets")
    scenarios.reset(site, ledger, enter, proxy)


def test_what_runs_while_its_connection_is_lost_is_not_started_again(
    make_site: Callable[..., OnRedis], proxy: Proxy
) -> None:
    site = make_site()
    scenarios.reset_while_one_runs(site, proxy)


def test_a_worker_that_is_killed_before_it_hears_that_its_settlement_was_taken_leaves_nothing_to_do(
    make_site: Callable[..., OnRedis], proxy: Proxy
) -> None:
    """The result is there and the message is gone, in the same moment."""
    site = make_site(lease=2)
    worker = site.worker("-c", "1")
    assert site.get(site.app.send_task("poison.answer")) == 42  # the server has the script that settles
    held = site.app.send_task("poison.hold", ["go"])
    site.wait_for_note("hold")
    proxy.answer_no_more()
    site.go()
    until(site.watcher.result(held.id).ready, what=worker.text)
    assert site.left() == 0
    worker.kill_tree()
    proxy.cut()
    site.worker("-c", "1")
    assert site.get(site.app.send_task("poison.answer")) == 42
    assert site.count("hold") == 1
    assert site.left() == 0


def test_a_worker_that_is_cut_off_for_longer_than_its_lease_starts_nothing_that_others_may_have(
    make_site: Callable[..., OnRedis], proxy: Proxy
) -> None:
    site = make_site(lease=3)
    site.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "10"
    first = site.worker("-c", "1")
    held = site.app.send_task("poison.hold", ["go"])
    waiting = [site.app.send_task("mill.plain") for _ in range(5)]
    site.wait_for_note("hold")
    until(lambda: site.server.command("HLEN", f"{site.prefix}unacked") == "6", what=first.text)
    proxy.refuse()
    proxy.cut()
    first.wait_for_line("what has not been started is given up")
    site.environ["UMBEL_BROKER_URL"] = site.direct
    second = site.worker("-c", "2")
    assert [site.watcher.result(each.id).get(timeout=60) for each in waiting] == [each.id for each in waiting]
    site.wait_for_note("hold", 2)  # it has come to the second, too: the first may be gone
    site.go()
    assert site.watcher.result(held.id).get(timeout=60) is None
    proxy.accept()
    assert site.get(site.app.send_task("poison.answer")) == 42
    assert [site.count(f"run {each.id}") for each in waiting] == [1] * 5
    assert site.left() == 0
    assert first.process.poll() is None
    assert second.process.poll() is None


def test_a_connection_that_stalls_for_ten_seconds_goes_on(
    make_site: Callable[..., OnRedis], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("Redis, stalled 10 s")
    worker = scenarios.stall(site, ledger, enter, proxy)
    assert "lost" not in worker.text()


def test_a_peer_that_is_gone_in_silence_is_noticed(
    make_site: Callable[..., OnRedis], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("Redis, half-open")
    ledger.send_mixed(site.app, 33, 100)
    worker = site.worker("-c", "2")
    until(lambda: ledger.diary.read() > 20, what=ledger.account)
    proxy.swallow()
    worker.wait_for_line("no answer for 15 s")
    next_run(ledger, lambda: ledger.send(site.watcher, "plain"))
    until(ended(ledger, site), what=lambda: (ledger.account(), worker.text()[-2000:]))
    enter(ledger.account(1))
    ledger.check()


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_connection_that_is_closed_one_way_is_made_again(
    end: str, make_site: Callable[..., OnRedis], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger(f"Redis, half-closed, {end}")
    scenarios.half_close(site, ledger, enter, proxy, end)
