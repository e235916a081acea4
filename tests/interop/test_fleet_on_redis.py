"""Workers of both kinds on the same keys: none takes what another runs, and one fleet takes over from the other."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.ends import Ends
from tests.worker.process import wait_until
from tools.redis_server import RedisServer

pytestmark = [pytest.mark.server, pytest.mark.slow]

VISIBLE = 3
"""Seconds after which Celery's workers here take a message for lost that nobody renews; they look when they start."""

LASTING = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
    if redis.call('TTL', key) < 0 then found[#found + 1] = key end
end
return found
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path / "server")
    made.start()
    yield made
    made.close()


@pytest.fixture(params=["celery56", "celery57"])
def make_ends(
    request: pytest.FixtureRequest, interpreter: Callable[[str], Path], tmp_path: Path, server: RedisServer
) -> Iterator[Callable[..., Ends]]:
    """Makes ends of which nobody runs yet, by the timeout of Celery's and more of its settings."""
    made: list[Ends] = []

    def make(visible: float, **conf: object) -> Ends:
        query, options = f"?visibility_timeout={visible}&lease=2", {"visibility_timeout": visible}
        python = interpreter(request.param)
        made.append(
            Ends(tmp_path, server.url, server.url, python, query=query, broker_transport_options=options, **conf)
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def ends(make_ends: Callable[..., Ends]) -> Ends:
    return make_ends(VISIBLE)


def overdue(server: RedisServer) -> list[str]:
    """Whatever a worker of Celery's that starts now takes for lost."""
    now = float(server.command("TIME").split()[0])
    return server.command("ZRANGEBYSCORE", "unacked_index", "-inf", str(now - VISIBLE - 1)).split()


def held(ends: Ends, gate: str, end: str, times: int = 1) -> None:
    """Return when tasks of this gate were started so many times at that end."""
    wait_until(lambda: ends.count(f"hold {gate} {end}") >= times, f"{times} × hold {gate}")


def test_what_umbel_runs_for_longer_than_celerys_timeout_is_run_once(ends: Ends, server: RedisServer) -> None:
    """What a Celery worker has left that was killed is run again: so they do look."""
    ends.start("umbel", "u").ready()
    long = ends.send("hold", "u", queue="u")
    held(ends, "u", "umbel")
    killed = ends.start("celery", "c")
    lost = ends.send("hold", "c", queue="c")
    held(ends, "c", "celery")
    killed.kill()
    wait_until(lambda: len(overdue(server)) == 1, "what the killed worker held is overdue, and nothing else")
    ends.start("celery", "c", "u").ready()
    held(ends, "c", "celery", 2)
    assert ends.count("hold u ") == 1
    ends.open("u")
    ends.open("c")
    assert [ends.get(long), ends.get(lost)] == ["umbel", "celery"]
    assert ends.count("hold u ") == 1


def test_what_celery_runs_for_longer_than_umbels_lease_is_run_once(ends: Ends) -> None:
    """What a worker of umbel has left that was killed is run again: so they do look."""
    ends.start("celery", "c").ready()
    long = ends.send("hold", "c", queue="c")
    held(ends, "c", "celery")
    killed = ends.start("umbel", "u")
    lost = ends.send("hold", "u", queue="u")
    held(ends, "u", "umbel")
    killed.kill()
    ends.start("umbel", "u", "c").ready()
    held(ends, "u", "umbel", 2)
    assert ends.count("hold c ") == 1
    ends.open("u")
    ends.open("c")
    assert [ends.get(long), ends.get(lost)] == ["celery", "umbel"]
    assert ends.count("hold c ") == 1


def test_workers_of_celery_alone_take_over_what_a_dead_worker_of_umbel_held(ends: Ends, server: RedisServer) -> None:
    worker = ends.start("umbel", "u")
    results = [ends.send("hold", "u", queue="u") for _ in range(4)]
    held(ends, "u", "umbel", 2)
    worker.kill()
    wait_until(lambda: len(overdue(server)) == int(server.command("HLEN", "unacked")) > 1, "all of it is overdue")
    ends.open("u")
    ends.start("celery", "u").ready()
    assert [ends.get(result) for result in results] == ["celery"] * 4


def test_a_fleet_moves_worker_by_worker_and_back_under_load(
    make_ends: Callable[..., Ends], server: RedisServer
) -> None:
    """Celery's workers acknowledge early, as they do if nobody says otherwise: one that acknowledges late and ends in
    order gives back what it has done last. What they begin after that order they may give back, too."""
    ends = make_ends(3600, task_acks_late=False)
    sent: dict[str, int] = {}
    over = threading.Event()

    def load() -> None:
        """Calls of umbel's client: plain, for later, urgent, and such as are tried twice."""
        while not over.is_set():
            kinds: list[tuple[int, dict[str, Any]]] = [(1, {}), (1, {"countdown": 1.0}), (1, {"priority": 9}), (2, {})]
            for tries, options in kinds:
                sent[ends.app.send_task("deeds.once", (tries,), queue="shared", **options).id] = tries
            over.wait(0.1)

    def load_of_celery() -> None:
        code = """
options = [{}, dict(countdown=1.0), dict(priority=0)]
[once.apply_async((1,), queue="shared", **options[n % 3]).id for n in range(60)]
"""
        sent.update((id, 1) for id in ends.celery(code))

    fleet = [ends.start("celery", "shared") for _ in range(2)]
    everyone = [*fleet]
    for worker in fleet:
        worker.ready()
    thread = threading.Thread(target=load)
    thread.start()
    try:
        for end in ("umbel", "umbel", "celery", "celery"):
            load_of_celery()
            fleet.append(ends.start(end, "shared"))
            everyone.append(fleet[-1])
            fleet[-1].ready()
            load_of_celery()
            fleet.pop(0).stop()
    finally:
        over.set()
        thread.join()
    load_of_celery()
    results: list[Any] = [ends.app.result(id) for id in sent]
    for result in results:
        ends.get(result)
    for worker in fleet:
        worker.stop()
    runs = Counter(line.split()[1] for line in ends.diary() if line.startswith("once "))
    ran = Counter(line.split()[3] for line in ends.diary() if line.startswith("once "))
    last = "".join(worker.text().partition("worker: Warm shutdown")[2] for worker in everyone)  # words of Celery's
    given_back = {id for id in sent if f"[{id}] succeeded" in last}
    assert {id: runs[id] for id in sent if not 0 <= runs[id] - sent[id] <= (id in given_back)} == {}
    assert min(ran["umbel"], ran["celery"]) > 50
    assert {key for key in server.command("EVAL", LASTING, "0").split() if key[:7] != "_kombu."} == {"umbel.queues"}
