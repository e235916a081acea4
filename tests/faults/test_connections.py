"""Workers and callers whose connections to RabbitMQ are cut, stalled, swallowed and closed one way, under load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.abroad import Abroad
from tests.faults.scenarios import RECORDED, UNRECORDED, Enter, ended, next_run
from tests.faults.site import until
from tests.servers.proxy import Proxy
from tools.rabbitmq import RabbitMQ

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def proxy(rabbitmq: RabbitMQ) -> Iterator[Proxy]:
    with Proxy(rabbitmq.port) as made:
        yield made


@pytest.fixture
def make_site(tmp_path: Path, rabbitmq: RabbitMQ, proxy: Proxy) -> Iterator[Callable[..., Abroad]]:
    """Makes the site of a test; ``options`` are those of its URL."""
    made: list[Abroad] = []

    def make(options: str = "", backend: str = "") -> Abroad:
        made.append(Abroad(tmp_path, rabbitmq, proxy, options, backend))
        return made[-1]

    yield make
    for site in made:
        site.close()


def test_connections_that_are_reset_are_made_again_and_no_task_is_run_twice(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("RabbitMQ, resets")
    scenarios.reset(site, ledger, enter, proxy, RECORDED)


def test_what_leaves_no_record_is_run_at_least_once_through_resets(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("RabbitMQ, resets, no record")
    site.worker("-c", "2")
    for round_ in range(3):
        ledger.send_mixed(site.app, round_, 20, UNRECORDED)
        next_run(ledger, proxy.cut, lambda: ledger.send(site.app, "plain"))
    until(ended(ledger, site), what=ledger.account)
    enter(ledger.account(3))
    ledger.check(may_repeat=UNRECORDED)


def test_a_task_that_runs_while_its_connection_is_lost_is_not_started_again(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site(backend="rpc://")
    scenarios.reset_while_one_runs(site, proxy)


def test_a_sibling_waits_for_the_end_of_what_somebody_runs_who_lost_its_claim(
    make_site: Callable[..., Abroad], proxy: Proxy, rabbitmq: RabbitMQ
) -> None:
    site = make_site()
    first = site.worker("-c", "1")
    held = site.app.send_task("poison.hold", ["go"])
    site.wait_for_note("hold")
    site.environ["UMBEL_BROKER_URL"] = site.direct
    second = site.worker("-c", "1")
    proxy.refuse()
    proxy.cut()
    first.wait_for_line("No claim on")
    until(lambda: not site.left(), what=first.text)
    time.sleep(5)  # beyond the two looks after which it would be started
    assert site.count("hold") == 1
    site.go()
    until(lambda: "came again and has its end" in second.text(), what=second.text)
    proxy.accept()
    assert site.get(held) is None
    assert site.count("hold") == 1


def test_a_connection_that_stalls_for_ten_seconds_goes_on(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("RabbitMQ, stalled 10 s")
    worker = scenarios.stall(site, ledger, enter, proxy, RECORDED)
    assert "was lost" not in worker.text()


def test_a_peer_that_is_gone_in_silence_is_noticed_by_the_heartbeat(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site("?heartbeat=2")
    ledger = site.ledger("RabbitMQ, half-open, heartbeat 2 s")
    ledger.send_mixed(site.app, 33, 100, RECORDED)
    worker = site.worker("-c", "2")
    until(lambda: ledger.diary.read() > 20, what=ledger.account)
    proxy.swallow()
    worker.wait_for_line("no sign of life for 4 s")
    next_run(ledger, lambda: ledger.send(site.app, "plain"))
    until(ended(ledger, site), what=ledger.account)
    enter(ledger.account(1))
    ledger.check()


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_connection_that_is_closed_one_way_is_made_again(
    end: str, make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger(f"RabbitMQ, half-closed, {end}")
    scenarios.half_close(site, ledger, enter, proxy, end, RECORDED)


def test_a_worker_whose_login_is_refused_for_a_while_goes_on(
    make_site: Callable[..., Abroad], proxy: Proxy, rabbitmq: RabbitMQ
) -> None:
    site = make_site()
    worker = site.worker("-c", "1")
    assert site.get(site.app.send_task("poison.answer")) == 42
    rabbitmq.control("change_password", "guest", "another")
    try:
        proxy.cut()
        worker.wait_for_line("login refused")
    finally:
        rabbitmq.control("change_password", "guest", "guest")
    assert site.get(site.app.send_task("poison.answer")) == 42
    assert worker.process.poll() is None
