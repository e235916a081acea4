"""Tests of a worker's end by signals."""

import os
import signal
import subprocess
import sys

import pytest

from tests.worker.process import EVERYWHERE, PATIENCE, POOLS, Shop, alive, twin, wait_until
from umbel.errors import WorkerLostError

pytestmark = pytest.mark.brokers(*EVERYWHERE)


@pytest.mark.parametrize(
    ("pool", "number", "whole_group"),
    [
        ("processes", signal.SIGTERM, False),
        ("processes", signal.SIGTERM, True),
        ("processes", signal.SIGINT, False),
        ("processes", signal.SIGINT, True),
        ("threads", signal.SIGINT, True),
        ("async", signal.SIGTERM, True),
    ],
)
def test_one_signal_lets_running_tasks_end_and_gives_the_rest_back(
    shop: Shop, pool: str, number: signal.Signals, whole_group: bool
) -> None:
    worker = shop.worker("-P", pool, "-c", "2")
    running = [shop.send(twin("hold", pool), f"r{n}") for n in range(2)]
    shop.wait_for_note("start", 2)
    waiting = [shop.send(twin("hold", pool), f"w{n}") for n in range(5)]
    later = shop.send("add", 1, 1, countdown=3600)
    tree = worker.tree()
    if whole_group:
        for pid in tree:
            os.kill(pid, number)
    else:
        worker.signal(number)
    worker.wait_for_line("Warm shutdown")
    shop.go()
    assert worker.wait() == 0
    assert [result.get(timeout=PATIENCE) for result in running] == ["r0", "r1"]
    assert (shop.count("start"), shop.count("end")) == (2, 2)
    assert not any(alive(pid) for pid in tree)
    shop.worker("-P", pool, "-c", "2")
    assert [shop.get(result) for result in waiting] == [f"w{n}" for n in range(5)]
    assert shop.count("start") == 7
    assert later.state == "PENDING"


@pytest.mark.parametrize("pool", POOLS)
def test_after_the_grace_what_still_runs_goes_back(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2", "--grace", "0.2")
    result = shop.send(twin("hold", pool), "a")
    runner = shop.pid_of("a")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 1
    assert not alive(runner)
    assert "given back" in worker.text()
    shop.worker("-c", "1")
    shop.wait_for_note("start a", 2)
    shop.go()
    assert shop.get(result) == "a"


@pytest.mark.parametrize("pool", POOLS)
def test_a_task_acknowledged_early_that_is_cut_off_is_a_failure_and_nobody_waits_for_ever(
    shop: Shop, pool: str
) -> None:
    worker = shop.worker("-P", pool, "-c", "2", "--grace", "0.2")
    result = shop.send(twin("hold_early", pool), "a")
    shop.wait_for_note("start a")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 1
    with pytest.raises(WorkerLostError, match="acks_late is off"):
        shop.get(result)


@pytest.mark.parametrize("pool", POOLS)
def test_being_stopped_again_and_again_is_no_death(shop: Shop, pool: str) -> None:
    result = shop.send(twin("hold", pool), "a")
    for times in range(1, 6):
        worker = shop.worker("-P", pool, "-c", "2", "--grace", "0")
        shop.wait_for_note("start a", times)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 1
    shop.go()
    shop.worker("-c", "1")
    assert shop.get(result) == "a"


@pytest.mark.parametrize("pool", POOLS)
def test_a_second_signal_gives_everything_back_now(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2", "--grace", "600")
    result = shop.send(twin("hold", pool), "a")
    shop.wait_for_note("start a")
    worker.signal(signal.SIGINT)
    worker.wait_for_line("Warm shutdown")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 1
    shop.worker("-c", "1")
    shop.go()
    assert shop.get(result) == "a"


def test_a_kill_after_the_first_signal_loses_nothing(shop: Shop) -> None:
    worker = shop.worker("-c", "1", "--grace", "600")
    result = shop.send("hold", "a")
    shop.wait_for_note("start a")
    worker.signal(signal.SIGTERM)
    worker.wait_for_line("Warm shutdown")
    worker.kill_tree()
    shop.worker("-c", "1")
    shop.wait_for_note("start a", 2)
    shop.go()
    assert shop.get(result) == "a"


def test_a_solo_worker_ends_after_its_task(shop: Shop) -> None:
    worker = shop.worker("-P", "solo")
    result = shop.send("hold", "a")
    shop.wait_for_note("start a")
    waiting = shop.send("add", 1, 1)
    worker.signal(signal.SIGTERM)
    worker.wait_for_line("Warm shutdown")
    shop.go()
    assert worker.wait() == 0
    assert result.get(timeout=PATIENCE) == "a"
    assert waiting.state == "PENDING"


def test_a_second_signal_ends_a_solo_worker_with_its_task(shop: Shop) -> None:
    worker = shop.worker("-P", "solo")
    result = shop.send("hold", "a")
    shop.wait_for_note("start a")
    worker.signal(signal.SIGINT)
    worker.wait_for_line("Warm shutdown")
    worker.signal(signal.SIGINT)
    assert worker.wait() == 1
    assert "Traceback" not in worker.text()
    shop.worker("-c", "1")
    shop.wait_for_note("start a", 2)
    shop.go()
    assert shop.get(result) == "a"
    assert shop.count("end a") == 1


def test_a_worker_started_by_a_program_needs_no_word_about_logging(shop: Shop) -> None:
    program = (
        "import shop; from umbel.worker import run; raise SystemExit(run(shop.app, concurrency=1, on_ready=shop.ready))"
    )
    module = shop.folder / "shop.py"
    module.write_text(module.read_text() + "\n\ndef ready() -> None:\n    note('ready')\n")
    process = subprocess.Popen([sys.executable, "-c", program], cwd=shop.folder, env=shop.environ)
    try:
        shop.wait_for_note("ready")
        assert shop.get(shop.send("add", 1, 1)) == 2
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("pool", POOLS)
def test_an_idle_worker_ends_at_once_and_leaves_no_process(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2")
    tree = worker.tree()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    wait_until(lambda: not any(map(alive, tree)), "the end of every process")


def test_an_app_that_cannot_be_imported_is_said_so(shop: Shop) -> None:
    (shop.folder / "shop.py").write_text("from umbel import Umbel\napp = Umbel('x')\nimport nowhere_to_be_found\n")
    worker = shop.worker(ready=False)
    assert worker.wait() != 0
    assert "nowhere_to_be_found" in worker.text()
