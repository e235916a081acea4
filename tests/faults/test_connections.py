"""Workers and callers whose connections to RabbitMQ are cut, stalled, swallowed and closed one way, under load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.abroad import Abroad
from tests.faults.checker import Account, Ledger
from tests.faults.mill import KINDS
from tests.faults.site import until
from tests.servers.proxy import Proxy
from tools.rabbitmq import RabbitMQ

pytestmark = [pytest.mark.server, pytest.mark.slow]

UNRECORDED = ("ignores", "refuses", "returns")
"""What leaves no record of its end, so that nobody can look up whether it has been run."""

STEADY = tuple(name for name in KINDS if name not in UNRECORDED)

Enter = Callable[[Account], None]


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


def done(ledger: Ledger, site: Abroad) -> Callable[[], bool]:
    def look() -> bool:
        ledger.look()
        return not ledger.open() and not site.left()

    return look


def next_run(ledger: Ledger, fault: Callable[[], None], *each: Callable[[], None]) -> None:
    """Let the fault happen, and return when a task was run after it; the longest such time is kept."""
    fault()
    began, lines = time.monotonic(), ledger.diary.read()
    until(lambda: ledger.diary.read() > lines, *each, what=ledger.account)
    ledger.recovered = max(ledger.recovered or 0.0, time.monotonic() - began)


def test_connections_that_are_reset_are_made_again_and_no_task_is_run_twice(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("RabbitMQ, resets")
    ledger.send_mixed(site.app, 31, 200, STEADY)
    site.witness()
    worker = site.worker("-c", "2")
    for round_ in range(6):
        next_run(ledger, proxy.cut, lambda: ledger.send(site.app, "plain"))
        ledger.send_mixed(site.app, 100 + round_, 10, STEADY)
    until(done(ledger, site), what=lambda: (ledger.account(), worker.text()[-3000:]))
    enter(ledger.account(6))
    ledger.check()
    assert site.written_twice() == []
    assert not ledger.refused
    assert worker.process.poll() is None


def test_what_leaves_no_record_is_run_at_least_once_through_resets(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger("RabbitMQ, resets, no record")
    site.worker("-c", "2")
    for round_ in range(3):
        ledger.send_mixed(site.app, round_, 20, UNRECORDED)
        next_run(ledger, proxy.cut, lambda: ledger.send(site.app, "plain"))
    until(done(ledger, site), what=ledger.account)
    enter(ledger.account(3))
    ledger.check(may_repeat=UNRECORDED)


def test_a_task_that_runs_while_its_connection_is_lost_is_not_started_again(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site(backend="rpc://")
    site.worker("-c", "2")
    held = site.app.send_task("poison.hold", ["go"])
    site.wait_for_note("hold")
    for _ in range(2):
        made = proxy.made
        proxy.cut()
        until(lambda made=made: proxy.made > made + 1, what=lambda: proxy.made)  # type: ignore[misc]
        assert site.get(site.app.send_task("poison.answer")) == 42
    site.go()
    site.get(held)
    assert site.get(site.app.send_task("poison.answer")) == 42
    assert site.count("hold") == 1
    assert site.left() == 0


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
    site.app.conf.broker_publish_timeout = 60
    ledger.send_mixed(site.app, 32, 100, STEADY)
    worker = site.worker("-c", "2")
    until(lambda: ledger.diary.read() > 20, what=ledger.account)
    sender = threading.Thread(target=ledger.send, args=(site.app, "plain"))
    proxy.stall()
    sender.start()
    time.sleep(10)  # the case itself: shorter than what the heartbeat allows
    next_run(ledger, proxy.flow)
    sender.join()
    until(done(ledger, site), what=ledger.account)
    enter(ledger.account(1))
    ledger.check()
    assert "was lost" not in worker.text()


def test_a_peer_that_is_gone_in_silence_is_noticed_by_the_heartbeat(
    make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site("?heartbeat=2")
    ledger = site.ledger("RabbitMQ, half-open, heartbeat 2 s")
    ledger.send_mixed(site.app, 33, 100, STEADY)
    worker = site.worker("-c", "2")
    until(lambda: ledger.diary.read() > 20, what=ledger.account)
    proxy.swallow()
    worker.wait_for_line("no sign of life for 4 s")
    next_run(ledger, lambda: ledger.send(site.app, "plain"))
    until(done(ledger, site), what=ledger.account)
    enter(ledger.account(1))
    ledger.check()


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_connection_that_is_closed_one_way_is_made_again(
    end: str, make_site: Callable[..., Abroad], proxy: Proxy, enter: Enter
) -> None:
    site = make_site()
    ledger = site.ledger(f"RabbitMQ, half-closed, {end}")
    ledger.send_mixed(site.app, 34, 50, STEADY)
    worker = site.worker("-c", "2")
    until(lambda: ledger.diary.read() > 20, what=ledger.account)
    next_run(ledger, lambda: proxy.half_close(end), lambda: ledger.send(site.app, "plain"))
    until(done(ledger, site), what=ledger.account)
    enter(ledger.account(1))
    ledger.check()
    assert worker.process.poll() is None


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
