"""A RabbitMQ server that is killed, runs out of memory, or has another one beside it, under load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.abroad import Abroad
from tests.faults.scenarios import RECORDED, Enter
from tests.faults.site import until
from tools.rabbitmq import RabbitMQ
from umbel.errors import PublishError

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RabbitMQ]:
    made = RabbitMQ(tmp_path / "server")
    made.start()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, server: RabbitMQ) -> Iterator[Abroad]:
    (tmp_path / "site").mkdir()
    made = Abroad(tmp_path / "site", server)
    yield made
    made.close()


def test_a_server_that_is_killed_under_load_loses_nothing_that_was_accepted(
    site: Abroad, server: RabbitMQ, enter: Enter
) -> None:
    site.app.conf.broker_publish_timeout = 1.0
    ledger = site.ledger("RabbitMQ, server killed")
    site.witness()
    scenarios.kill_a_server(site, ledger, enter, server, 2, RECORDED)
    assert site.written_twice() == []


def test_a_server_without_memory_is_waited_for_and_takes_acknowledgements(
    site: Abroad, server: RabbitMQ, enter: Enter
) -> None:
    ledger = site.ledger("RabbitMQ, memory alarm")
    held = [site.app.send_task("poison.hold", ["go"]) for _ in range(2)]
    site.app.conf.broker_publish_timeout = 1.0
    worker = site.worker("-c", "2")
    site.wait_for_note("hold", 2)
    server.control("set_vm_memory_high_watermark", "0")
    until(lambda: stops_publishers(server), what=lambda: states(server))
    with pytest.raises(PublishError, match="did not take the message"):
        site.app.send_task("poison.answer")
    site.go()
    assert [site.get(result) for result in held] == [None, None]
    until(lambda: unsettled(server, site.queue) <= 1, what=worker.text)  # the one that was on its way may have come
    server.control("set_vm_memory_high_watermark", "0.9")
    ledger.send_mixed(site.app, 42, 50, RECORDED)
    scenarios.done(ledger, site, worker, enter, 1)


def stops_publishers(server: RabbitMQ) -> bool:
    """Whether every connection has heard of the alarm: "blocking" is one that will be stopped when it publishes."""
    return set(states(server)) <= {"blocking", "blocked"}


def states(server: RabbitMQ) -> list[str]:
    return server.control("-q", "--no-table-headers", "list_connections", "state").split()


def unsettled(server: RabbitMQ, queue: str) -> int:
    """How many messages somebody holds."""
    for line in server.control("-q", "list_queues", "name", "messages_unacknowledged").splitlines():
        name, _, count = line.partition("\t")
        if name == queue:
            return int(count)
    raise AssertionError(f"there is no queue {queue}")


def test_workers_and_callers_go_over_to_the_next_server_of_the_url(tmp_path: Path, server: RabbitMQ) -> None:
    other = RabbitMQ(tmp_path / "other")
    other.start()
    (tmp_path / "site").mkdir()
    site = Abroad(tmp_path / "site", server, others=other.url)
    try:
        worker = site.worker("-c", "1")
        assert site.get(site.app.send_task("poison.answer")) == 42
        server.kill()
        worker.wait_for_line("was lost and is made again")
        assert site.get(site.app.send_task("poison.answer")) == 42
        assert worker.process.poll() is None
    finally:
        site.close()
        other.close()
