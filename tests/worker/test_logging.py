"""Tests of what a worker's log has of its tasks, with real workers."""

from __future__ import annotations

import json

import pytest

from tests.worker.process import Shop

TASKS = """
import logging, subprocess, sys

from umbel import Umbel
from umbel.log import get_task_logger

app = Umbel("shop", worker_log_format="%(levelname)s %(message)s",
            worker_task_log_format="%(levelname)s %(task_name)s[%(task_id)s] %(message)s")
logger = get_task_logger(__name__)


@app.task
def say():
    logger.info("logged")
    print("printed")
    print("complained", file=sys.stderr)
    logging.getLogger("library").info("library")
    subprocess.run(["echo", "a child"], check=True, stdout=sys.stdout)


@app.task
async def asay():
    print("printed")
"""


@pytest.fixture
def talking(shop: Shop) -> Shop:
    (shop.folder / "shop.py").write_text(TASKS)
    return shop


@pytest.mark.parametrize("pool", ["processes", "solo"])
def test_what_a_task_logs_and_prints_is_in_the_log_with_its_name_and_id(talking: Shop, pool: str) -> None:
    worker = talking.worker("-P", pool)
    result, other = talking.send("say"), talking.send("asay")
    talking.get(result)
    talking.get(other)
    for line in (
        f"INFO shop.say[{result.id}] logged",
        f"WARNING shop.say[{result.id}] printed",
        f"WARNING shop.say[{result.id}] complained",
        "INFO library",
        "a child",
        f"WARNING shop.asay[{other.id}] printed",
    ):
        worker.wait_for_line(f"{line}\n")


def test_the_json_lines_of_a_task_have_its_name_and_id(talking: Shop) -> None:
    worker = talking.worker("--log-format", "json")
    result = talking.send("say")
    talking.get(result)
    lines = [json.loads(line) for line in worker.text().splitlines() if line.startswith("{")]
    said = {line["message"]: line for line in lines if line.get("task_id") == result.id}
    assert {"logged", "printed", "complained", "library"} <= set(said)
    assert all(said[text]["task_name"] == "shop.say" for text in ("logged", "printed", "complained", "library"))
    assert said["printed"]["logger"] == "umbel.task.stdout"


def test_settings_leave_prints_and_other_loggers_alone(talking: Shop) -> None:
    quiet = ("--set", "worker_redirect_stdouts=false", "--set", "worker_hijack_root_logger=false")
    worker = talking.worker(*quiet)
    result = talking.send("say")
    talking.get(result)
    worker.wait_for_line(f"INFO shop.say[{result.id}] logged\n")
    worker.wait_for_line("\ncomplained\n")
    assert "] printed" not in worker.text()
    assert "library" not in worker.text()


def test_prints_get_the_level_that_the_setting_names(talking: Shop) -> None:
    worker = talking.worker("--set", "worker_redirect_stdouts_level=info")
    result = talking.send("say")
    talking.get(result)
    worker.wait_for_line(f"INFO shop.say[{result.id}] printed\n")


def test_a_program_that_sets_up_logging_itself_is_left_alone(talking: Shop) -> None:
    module = talking.folder / "shop.py"
    module.write_text(
        module.read_text()
        + """
from umbel import signals

@signals.setup_logging.connect
def own(loglevel, **rest):
    logging.basicConfig(level=loglevel, format="mine %(message)s", stream=sys.stderr)
"""
    )
    worker = talking.worker()
    result = talking.send("say")
    talking.get(result)
    for line in ("mine logged", "mine library", "printed", f"mine Task shop.say[{result.id}] received"):
        worker.wait_for_line(f"{line}\n")


def test_what_a_middleware_carries_is_in_the_lines_of_its_task(talking: Shop) -> None:
    module = talking.folder / "shop.py"
    module.write_text(
        module.read_text()
        + """
from contextvars import ContextVar
from umbel import Middleware, signals

carried = ContextVar("carried", default="-")


class Carrying(Middleware):
    async def run(self, request, next):
        token = carried.set(request.headers["carried"])
        try:
            return await next(request)
        finally:
            carried.reset(token)


app.add_middleware(Carrying)


@signals.after_setup_logger.connect
def add(logger, **arguments):
    for handler in logger.handlers:
        handler.addFilter(add_carried)


def add_carried(record):
    record.carried = carried.get()
    return True
"""
    )
    worker = talking.worker("--log-format", "json")
    for task in ("say", "asay"):
        talking.get(talking.send(task, headers={"carried": f"with {task}"}))
    lines = [json.loads(line) for line in worker.text().splitlines() if line.startswith("{")]
    assert [line["carried"] for line in lines if line["message"] == "printed"] == ["with say", "with asay"]
    assert {line["carried"] for line in lines if line["message"] == "library"} == {"with say"}
    assert {line["carried"] for line in lines if line["message"].endswith("ready.")} == {"-"}
