"""Tests of what lives as long as a runner."""

import signal

import pytest

from tests.worker.process import Shop, wait_until

SPANS = """

import threading



@app.lifespan
def plain():
    note(f"open plain {os.getpid()} {threading.current_thread() is threading.main_thread()}")
    yield
    note(f"close plain {os.getpid()}")


@app.lifespan
async def shared():
    async with asyncio.TaskGroup() as group:  # wants to be left by the task that entered it
        app.loop = id(asyncio.get_running_loop())
        group.create_task(asyncio.sleep(0))
        note(f"open shared {os.getpid()}")
        yield
    note(f"close shared {os.getpid()}")


@app.task
async def same_loop() -> bool:
    return app.loop == id(asyncio.get_running_loop())
"""

FAILING = """

@app.lifespan
async def pool():
    note("try")
    raise ConnectionError("the database does not answer")
    yield


@app.lifespan
def never():
    note("never")
    yield
"""

SULKING = """

@app.lifespan
def first():
    yield
    note("close first")


@app.lifespan
def second():
    yield
    raise ValueError("no way to close")
"""


def declare(shop: Shop, code: str) -> None:
    module = shop.folder / "shop.py"
    module.write_text(module.read_text() + code)


@pytest.mark.parametrize("pool", ["processes", "threads", "async", "solo"])
def test_lifespans_begin_before_the_first_task_and_end_in_reverse_after_the_last(shop: Shop, pool: str) -> None:
    declare(shop, SPANS)
    worker = shop.worker("-P", pool, *([] if pool == "solo" else ["-c", "1" if pool == "processes" else "3"]))
    assert [shop.get(shop.send("same_loop")) for _ in range(3)] == [True] * 3
    pid = shop.get(shop.send("pid"))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert shop.diary() == [
        f"open plain {pid} True",
        f"open shared {pid}",
        f"close shared {pid}",
        f"close plain {pid}",
    ]


def test_each_runner_has_its_own_and_a_replaced_one_ends_them(shop: Shop) -> None:
    declare(shop, SPANS)
    shop.worker("-c", "1", "--set", "worker_max_tasks_per_child=1")
    pids = [shop.get(shop.send("pid")) for _ in range(2)]
    assert len(set(pids)) == 2
    shop.wait_for_note("close plain", 2)
    assert [line for line in shop.diary() if line.startswith("close plain")] == [f"close plain {pid}" for pid in pids]


@pytest.mark.parametrize("pool", ["processes", "async"])
def test_one_that_cannot_begin_is_an_error_that_names_it(shop: Shop, pool: str) -> None:
    declare(shop, FAILING)
    worker = shop.worker("-P", pool, "-c", "1", ready=False)
    assert worker.wait() == 1
    text = worker.text()
    assert "the lifespan shop.pool could not begin: ConnectionError: the database does not answer" in text
    assert "5 runners in a row ended before they were ready" in text
    assert shop.diary() == ["try"] * 5


def test_a_solo_worker_whose_lifespan_cannot_begin_does_not_start(shop: Shop) -> None:
    shop._soften()
    declare(shop, FAILING)
    worker = shop.worker("-P", "solo", ready=False)
    assert worker.wait() == 1
    assert "the lifespan shop.pool could not begin" in worker.text()
    assert shop.diary() == ["try"]


def test_one_that_cannot_end_is_logged_and_the_others_end(shop: Shop) -> None:
    declare(shop, SULKING)
    worker = shop.worker("-c", "1")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert "The lifespan shop.second failed at its end" in worker.text()
    wait_until(lambda: shop.count("close first"))
