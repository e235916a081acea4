"""Scenarios that go alike on several brokers; each ends by checking the account of what was sent."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.faults.checker import Account, Ledger
from tests.faults.mill import KINDS
from tests.faults.site import Killer, Site, Supervisor, until
from tests.servers.proxy import Proxy
from tests.worker.process import Worker
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer
from umbel.errors import WorkerLostError

KILLS = 5
"""There are at least so many."""
MORE = 60
PATIENT = ("--set", "task_max_starts=50")
"""Kills come every few milliseconds: the same task may be hit three times, and is no poison for that."""
HOWS = ["runner"] * 4 + ["node"] * 2 + ["whole"] * 2 + ["server"]
"""What is killed, as often in proportion."""

GOOD = ("plain", "brief", "waits", "tells", "again")

LATE = [name for name, kind in KINDS.items() if not kind.once]
"""What is settled after its end, and may be run again."""

ALL = tuple(KINDS)
UNRECORDED = ("ignores", "refuses", "returns")
"""What leaves no record of its end, so that nobody can look up whether it has been run."""
RECORDED = tuple(name for name in KINDS if name not in UNRECORDED)

Enter = Callable[[Account], None]


def enough(ledger: Ledger, site: Site) -> Callable[[], None]:
    """Sends more when little is left and not enough has been killed: a worker may outrun its killer."""
    rounds = itertools.count(1000)

    def look() -> None:
        if ledger.killed < KILLS and site.left() < MORE:
            ledger.send_mixed(site.app, next(rounds), MORE)

    return look


def ended(ledger: Ledger, site: Site, least: int = 0) -> Callable[[], bool]:
    """Whether everything has its end and nothing is left in the queue, after at least so many kills."""

    def look() -> bool:
        ledger.look()
        return ledger.killed >= least and not ledger.open() and not site.left()

    return look


def next_run(ledger: Ledger, fault: Callable[[], None], *each: Callable[[], None]) -> None:
    """Let the fault happen, and return when a task was run after it; the longest such time is kept."""
    fault()
    began, lines = time.monotonic(), ledger.diary.read()
    until(lambda: ledger.diary.read() > lines, *each, what=ledger.account)
    ledger.recovered = max(ledger.recovered or 0.0, time.monotonic() - began)


@contextmanager
def calling(ledger: Ledger, site: Site) -> Iterator[None]:
    """A thread that sends one call after the other, as long as the block lasts."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            ledger.send(site.app, "plain")
            over.wait(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def done(ledger: Ledger, site: Site, worker: Worker, enter: Enter, faults: int) -> None:
    """Wait for every end; each task has one then, nothing was lost or run twice, and the worker lives."""
    until(ended(ledger, site), what=lambda: (ledger.account(), worker.text()[-3000:]))
    enter(ledger.account(faults))
    ledger.check()
    assert worker.process.poll() is None


# -- what is done to workers


def kill_workers(
    site: Site, ledger: Ledger, enter: Enter, supervisors: Sequence[Supervisor], killers: Sequence[Killer]
) -> None:
    """Kill them time and again while they do what was sent: nothing is lost, each task has one end."""
    looks = [each.look for each in supervisors] + [each.look for each in killers]
    until(ended(ledger, site, KILLS), *looks, enough(ledger, site), what=ledger.account)
    enter(ledger.account())
    ledger.check(may_repeat=LATE)
    assert site.written_twice() == []


def kill_a_worker(site: Site, ledger: Ledger, enter: Enter, seed: int, tasks: int, most: float) -> None:
    """Kill one in part and in whole, at most so often."""
    ledger.send_mixed(site.app, seed, tasks)
    site.witness()
    supervisor = Supervisor(site, "-c", "2", *PATIENT)
    kill_workers(site, ledger, enter, [supervisor], [Killer(ledger, supervisor, random.Random(seed), HOWS, most)])


def kill_two_workers(site: Site, ledger: Ledger, enter: Enter, tasks: int, kinds: Sequence[str], most: float) -> None:
    """Kill two on the same queue, both together at most so often: either does what the other leaves behind."""
    ledger.send_mixed(site.app, 77, tasks)
    site.witness()
    supervisors = [Supervisor(site, "-c", "1", *PATIENT) for _ in range(2)]
    killers = [Killer(ledger, each, random.Random(at), kinds, most) for at, each in enumerate(supervisors)]
    kill_workers(site, ledger, enter, supervisors, killers)


def disturb_nothing(site: Site, ledger: Ledger, enter: Enter, tasks: int) -> Worker:
    """Without a kill everything is run exactly once."""
    ledger.send_mixed(site.app, 78, tasks)
    site.witness()
    worker = site.worker("-c", "2")
    done(ledger, site, worker, enter, 0)
    assert site.written_twice() == []
    return worker


def poison_a_worker(site: Site, ledger: Ledger, enter: Enter) -> Supervisor:
    """A task takes the whole worker down each time: it is started three times, and what is beside it is done."""
    ledger.send_mixed(site.app, 80, 25, GOOD)
    poison = site.app.send_task("poison.worker")
    ledger.send_mixed(site.app, 81, 25, GOOD)
    site.witness()
    supervisor = Supervisor(site, "-c", "2", "--set", "worker_prefetch_multiplier=60")
    until(lambda: poison.ready() and ended(ledger, site)(), supervisor.look, what=ledger.account)
    ledger.killed = supervisor.restarts
    enter(ledger.account())
    with pytest.raises(WorkerLostError, match="3 starts ended without a verdict"):
        site.get(poison)
    assert site.count(f"poison {poison.id}") == 3
    until(lambda: poison.id in site.dead(), what=site.diary)  # which follows the record where these are two stores
    ledger.check(may_repeat=GOOD)
    assert site.written_twice() == []
    assert site.get(site.app.send_task("poison.answer")) == 42
    return supervisor


# -- what is done to servers and to the way there


def kill_a_server(
    site: Site,
    ledger: Ledger,
    enter: Enter,
    server: RabbitMQ | RedisServer,
    times: int,
    kinds: Sequence[str] = ALL,
) -> None:
    """Kill it and start it again, so often, under load: nothing that was accepted is lost or run twice."""
    ledger.send_mixed(site.app, 41, 100, kinds)
    worker = site.worker("-c", "2")
    with calling(ledger, site):
        for _ in range(times):
            lines = ledger.diary.read()
            until(lambda lines=lines: ledger.diary.read() > lines + 20, what=ledger.account)  # type: ignore[misc]
            server.kill()
            time.sleep(0.3)  # for callers and workers to find it gone
            next_run(ledger, server.start)
    done(ledger, site, worker, enter, times)


def reset(site: Site, ledger: Ledger, enter: Enter, proxy: Proxy, kinds: Sequence[str] = ALL) -> None:
    """Reset every connection time and again under load: all are made again, nobody is told and nothing run twice."""
    ledger.send_mixed(site.app, 31, 200, kinds)
    site.witness()
    worker = site.worker("-c", "2")
    for round_ in range(6):
        next_run(ledger, proxy.cut, lambda: ledger.send(site.app, "plain"))
        ledger.send_mixed(site.app, 100 + round_, 10, kinds)
    done(ledger, site, worker, enter, 6)
    assert site.written_twice() == []
    assert not ledger.refused


def reset_while_one_runs(site: Site, proxy: Proxy) -> None:
    """Reset every connection while a task runs: it is not started again, and its end counts."""
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


def stall(site: Site, ledger: Ledger, enter: Enter, proxy: Proxy, kinds: Sequence[str] = ALL) -> Worker:
    """Let nothing through for ten seconds, under load: a caller waits, and all goes on."""
    site.app.conf.broker_publish_timeout = 60
    ledger.send_mixed(site.app, 32, 100, kinds)
    worker = site.worker("-c", "2")
    until(lambda: ledger.diary.read() > 20, what=ledger.account)
    sender = threading.Thread(target=ledger.send, args=(site.app, "plain"))
    proxy.stall()
    sender.start()
    time.sleep(10)  # the case itself: shorter than what a connection is given
    next_run(ledger, proxy.flow)
    sender.join()
    done(ledger, site, worker, enter, 1)
    return worker


def half_close(site: Site, ledger: Ledger, enter: Enter, proxy: Proxy, end: str, kinds: Sequence[str] = ALL) -> None:
    """Have one end of every connection say no more, under load: they are made again."""
    ledger.send_mixed(site.app, 34, 50, kinds)
    worker = site.worker("-c", "2")
    until(lambda: ledger.diary.read() > 20, what=ledger.account)
    next_run(ledger, lambda: proxy.half_close(end), lambda: ledger.send(site.app, "plain"))
    done(ledger, site, worker, enter, 1)
