"""Runs short programs that show how calls and results are written, as they are written elsewhere."""

from __future__ import annotations

import ast
import asyncio
import inspect
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from umbel.app import Umbel
from umbel.call import NO_OPTIONS
from umbel.errors import Retry
from umbel.model import State
from umbel.result import AsyncResult
from umbel.retry import Backoff
from umbel.worker.alone import Alone
from umbel.worker.plan import plan_for

DEFINE = """
from umbel import Umbel
app = Umbel("tasks")

@app.task
def add(x: int, y: int) -> int:
    return x + y
"""

CALL = """
result = add.delay(4, 4)                                   # AsyncResult[int]; add.delay("x", 1) fails in mypy and pyright
result = add.options(queue="math", countdown=10, priority=7).delay(4, 4)     # typed, immutable, chainable
add.apply_async((4, 4), countdown=10)                      # Celery's spelling, the same thing
results = add.delay_many([(n, n) for n in range(1000)])    # one durable write
"""  # noqa: E501

ASYNC = """
@app.task
async def fetch(url: str) -> str: ...
result = await fetch.adelay("http://localhost:8000")       # AsyncResult[str], not a coroutine type
text = await result                                        # repeatable; cancelling the waiter does not revoke the task
"""

RESULTS = """
result.ready(); result.state; result.get(timeout=10)       # umbel.TimeoutError is a builtin TimeoutError
app.result(task_id)                                        # no hidden current app; AsyncResult(task_id) uses the current one
"""  # noqa: E501

RETRIES = """
@app.task(autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=5)
def push(order_id: int): ...
@app.task(retry=Backoff(first=1, factor=2, most=600, jitter=True, times=5, on=(ConnectionError,)))
def push2(order_id: int):
    if busy(): raise Retry(countdown=30)                   # raise self.retry(exc=e) with bind=True works too
"""

CONFIGURATION = """
app = Umbel("shop", broker="amqp://guest@localhost//", backend="rpc://",
            task_routes={"shop.mail.*": "mail"}, task_annotations={"shop.add": {"time_limit": 30}})
app.conf.task_time_limit = 60
"""

BODIES = {
    "def push(order_id: int): ...": "def push(order_id: int): return deliver(order_id)",
    "async def fetch(url: str) -> str: ...": "async def fetch(url: str) -> str: return await page(url)",
}
"""What stands in the place of the bodies that the programs leave open."""


async def page(url: str) -> str:
    await asyncio.sleep(0)
    return f"the page {url}"


class Prompt:
    """Runs one program after the other with the same names, those with ``await`` on a loop."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"page": page}

    def run(self, text: str) -> None:
        """As at the prompt of ``python -m asyncio``."""
        for body, filled in BODIES.items():
            text = text.replace(body, filled)
        code = compile(text, "<snippet>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        made = eval(code, self.names)
        if inspect.iscoroutine(made):
            asyncio.run(made)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Prompt]:
    """A prompt at which the app and its first task are defined, and a worker for them."""
    monkeypatch.setenv("UMBEL_BROKER_URL", f"sqlite:///{tmp_path}/umbel.db")
    prompt = Prompt()
    prompt.run(DEFINE)
    app = prompt.names["app"]
    ready = threading.Event()
    worker = Alone(app, plan_for(app, pool="solo"), ready.set)
    thread = threading.Thread(target=worker.serve)
    thread.start()
    assert ready.wait(60)
    yield prompt
    worker.stop()
    thread.join()
    app.close()


def test_calls(prompt: Prompt) -> None:
    prompt.run(CALL)
    results = prompt.names["results"]
    assert [result.get(timeout=60) for result in results] == [2 * n for n in range(1000)]
    assert prompt.names["result"].state == State.PENDING


def test_coroutines(prompt: Prompt) -> None:
    prompt.run(ASYNC)
    assert prompt.names["text"] == "the page http://localhost:8000"


def test_results(prompt: Prompt) -> None:
    app: Umbel = prompt.names["app"]
    result: AsyncResult[int] = prompt.names["add"].delay(20, 22)
    prompt.names |= {"result": result, "task_id": result.id}
    prompt.run(RESULTS)
    assert (result.ready(), result.state, result.get()) == (True, State.SUCCESS, 42)
    assert AsyncResult(result.id) == app.result(result.id)
    assert AsyncResult(result.id).app is app


def test_retries(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [ConnectionError("gone")]
    waits = [True]

    def deliver(order_id: int) -> str:
        if refusals:
            raise refusals.pop()
        return f"delivered {order_id}"

    prompt.names |= {"Backoff": Backoff, "Retry": Retry, "deliver": deliver, "busy": waits.pop}
    prompt.run(RETRIES)
    assert prompt.names["push"].delay(7).get(timeout=60) == "delivered 7"
    result = prompt.names["push2"].delay(7)
    while result.state != State.RETRY:
        time.sleep(0.01)


def test_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UMBEL_BROKER_URL", raising=False)
    prompt = Prompt()
    prompt.run("from umbel import Umbel")
    prompt.run(CONFIGURATION)
    app: Umbel = prompt.names["app"]
    assert (app.conf.broker_url, app.conf.result_backend) == ("amqp://guest@localhost//", "rpc://")
    assert (app.broker.form, type(app.backend).__name__) == ("amqp", "RpcBackend")
    mail = app.task(name="shop.mail.send")(lambda: None)
    add = app.task(name="shop.add")(lambda: None)
    assert app.publisher.queue_of(mail.name, NO_OPTIONS) == "mail"
    app.import_modules()
    assert (add.time_limit, app.conf.task_time_limit) == (30, 60)
