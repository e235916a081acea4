"""Workers on RabbitMQ that are killed in part and in whole, by others and by their own tasks."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import scenarios
from tests.faults.abroad import Abroad
from tests.faults.scenarios import Enter
from tests.faults.site import Supervisor, until
from tools.rabbitmq import RabbitMQ
from umbel.call import NO_OPTIONS
from umbel.errors import WorkerLostError

pytestmark = [pytest.mark.server, pytest.mark.slow]

TASKS = 150
MOST = 8
"""Kills: after each, what comes again is looked up for two seconds."""


@pytest.fixture
def make_site(tmp_path: Path, rabbitmq: RabbitMQ) -> Iterator[Callable[..., Abroad]]:
    made: list[Abroad] = []

    def make(backend: str = "") -> Abroad:
        made.append(Abroad(tmp_path, rabbitmq, backend=backend))
        return made[-1]

    yield make
    for site in made:
        site.close()


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_however_a_worker_is_killed(seed: int, make_site: Callable[..., Abroad], enter: Enter) -> None:
    site = make_site()
    ledger = site.ledger(f"RabbitMQ, kills, seed {seed}")
    scenarios.kill_a_worker(site, ledger, enter, seed, TASKS, MOST)


def test_without_a_kill_everything_is_run_exactly_once(make_site: Callable[..., Abroad], enter: Enter) -> None:
    site = make_site()
    scenarios.disturb_nothing(site, site.ledger("RabbitMQ, no kills"), enter, TASKS)


def test_poison_that_kills_the_whole_worker_is_bounded_and_its_neighbours_live(
    make_site: Callable[..., Abroad], enter: Enter
) -> None:
    site = make_site()
    scenarios.poison_a_worker(site, site.ledger("RabbitMQ, poison, worker"), enter)


@pytest.mark.parametrize("pool", ["processes", "threads"])
def test_poison_is_bounded_where_no_store_and_no_machine_is_shared(
    pool: str, make_site: Callable[..., Abroad], tmp_path: Path
) -> None:
    """Each worker is on a machine of its own, as in containers without a volume: it finds nothing of the last one."""
    site = make_site("rpc://")
    good = [site.app.send_task("mill.plain") for _ in range(10)]
    poison = site.app.send_task("poison.worker")
    state = tmp_path / "state"
    supervisor = Supervisor(site, "-P", pool, "-c", "2", "--state-dir", str(state))

    def forget() -> None:
        if supervisor.worker.process.poll() is not None:
            shutil.rmtree(state, ignore_errors=True)

    until(lambda: poison.ready() and all(each.ready() for each in good), forget, supervisor.look, what=site.diary)
    with pytest.raises(WorkerLostError, match="3 starts ended without a verdict"):
        site.get(poison)
    assert site.count(f"poison {poison.id}") == 3
    until(lambda: poison.id in site.dead(), what=site.diary)  # which follows the record
    assert all(each.successful() for each in good)
    assert not {each.id for each in good}.intersection(site.dead())


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("gap", [0.0, 2.5])
def test_a_second_copy_that_the_queues_of_delays_made_is_not_run(
    gap: float, early: bool, make_site: Callable[..., Abroad], rabbitmq: RabbitMQ
) -> None:
    """A queue hands on what is due at least once: a server that is killed in between does it again when it is back."""
    site = make_site()
    now = site.app.clock.now()
    route, message = site.app.publisher.prepare("mill.early" if early else "mill.plain", (), {}, NO_OPTIONS)
    for due in (now + 0.5, now + 0.5 + gap):
        site.app.publisher.send(route._replace(due=due), message)
    behind = site.app.send_task("poison.answer", countdown=gap + 3)
    worker = site.worker("-c", "2")
    assert site.get(behind) == 42
    until(lambda: f"{site.queue}\t0" in sizes(rabbitmq), what=worker.text)  # nor does the worker hold any
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert site.left() == 0
    assert site.count(f"run {message.id}") == 1
    assert site.get(site.app.result(message.id)) == (None if early else message.id)


def sizes(server: RabbitMQ) -> list[str]:
    """Each queue and how many messages it has, held or not."""
    return server.control("-q", "list_queues", "name", "messages").splitlines()
