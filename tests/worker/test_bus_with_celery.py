"""The real Celery at the other end of the bus: its clients ask our workers, and its workers hear our clients."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.process import PATIENCE, Shop, wait_until
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer
from umbel.errors import TaskRevokedError

pytestmark = [pytest.mark.server, pytest.mark.slow]

CLIENT = """
import json, sys
from celery import Celery
app = Celery("client", broker=sys.argv[1], backend=sys.argv[2])
def ask(method, **arguments):
    return app.control.broadcast(method, arguments=arguments, reply=True, timeout=30, limit=1)
print(json.dumps(eval(sys.argv[3])))
"""

SHOP = """
import os, pathlib, time
from celery import Celery
app = Celery("shop", broker=os.environ["UMBEL_BROKER_URL"], backend=os.environ["UMBEL_RESULT_BACKEND"])
app.conf.task_default_queue = os.environ["UMBEL_TASK_DEFAULT_QUEUE"]
app.conf.worker_hijack_root_logger = False

@app.task(name="shop.hold")
def hold(name, until="go"):
    pathlib.Path("started").touch()
    while not pathlib.Path(until).exists():
        time.sleep(0.01)
    return name
"""


class Celery:
    """An environment of Celery, with a client and a worker to start."""

    def __init__(self, python: Path, shop: Shop) -> None:
        self.python = python
        self.shop = shop
        self.log = shop.folder / "celery.log"
        self.worker: subprocess.Popen[bytes] | None = None

    def __call__(self, question: str) -> Any:
        """What the client's expression gives."""
        return json.loads(
            self.run([self.python, "-c", CLIENT, self.shop.url, self.shop.environ["UMBEL_RESULT_BACKEND"], question])
        )

    def run(self, words: list[Any]) -> str:
        done = subprocess.run(
            words,
            cwd=self.shop.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def start_worker(self) -> None:
        folder = self.shop.folder / "celery"
        folder.mkdir()
        (folder / "shop.py").write_text(SHOP)
        with self.log.open("wb") as log:
            self.worker = subprocess.Popen(
                [self.python, "-m", "celery", "-A", "shop", "worker", "-c", "1", "-n", "theirs@here", "-l", "INFO"],
                cwd=folder,
                env=self.shop.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(lambda: "theirs@here ready" in self.log.read_text(), self.log.read_text())

    def close(self) -> None:
        if self.worker is not None:
            self.worker.terminate()
            self.worker.wait(PATIENCE)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that remembers nothing which others have revoked."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.close()


@pytest.fixture(params=["rabbitmq", "own_redis"])
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    server: RabbitMQ | RedisServer = request.getfixturevalue(request.param)
    made = Shop(tmp_path, server.url, "rpc://" if isinstance(server, RabbitMQ) else server.url)
    made.environ["UMBEL_TASK_DEFAULT_QUEUE"] = made.app.conf.task_default_queue = f"shop-{uuid.uuid4().hex}"
    made.app.conf.worker_state_dir = str(tmp_path / ".umbel")
    yield made
    made.close()


@pytest.fixture(params=["celery56", "celery57"])
def celery(request: pytest.FixtureRequest, interpreter: Callable[[str], Path], shop: Shop) -> Iterator[Celery]:
    made = Celery(interpreter(request.param), shop)
    yield made
    made.close()


def test_celerys_client_asks_and_revokes(shop: Shop, celery: Celery) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    shop.worker("-c", "1", "-n", "ours@here")
    assert celery("app.control.inspect(timeout=30, limit=1).ping()") == {"ours@here": {"ok": "pong"}}
    assert celery("app.control.ping(destination=['other@here'], timeout=0.5)") == []
    held, waiting = shop.send("hold", "a", "never"), shop.send("add", 1, 2)
    shop.wait_for_note("start a")
    wait_until(lambda: len(celery(f"ask('query_task', ids=['{waiting.id}'])")[0]["ours@here"]) == 1)
    (told,) = celery(f"ask('query_task', ids=['{held.id}', '{waiting.id}', 'nobody'])")
    state, info = told["ours@here"][held.id]
    assert (state, info["name"], info["args"], info["worker_pid"]) == (
        "active",
        "shop.hold",
        "('a', 'never')",
        shop.pid_of("a"),
    )
    state, info = told["ours@here"][waiting.id]
    assert (state, info["id"], info["delivery_info"]["routing_key"]) == (
        "reserved",
        waiting.id,
        shop.app.conf.task_default_queue,
    )
    (told,) = celery(f"app.control.revoke(['{waiting.id}'], reply=True, limit=1, timeout=30)")
    assert told == {"ours@here": {"ok": f"tasks {waiting.id} flagged as revoked"}}
    celery(f"app.control.revoke('{held.id}', terminate=True, signal='SIGKILL')")
    for result in (held, waiting):
        with pytest.raises(TaskRevokedError):
            shop.get(result)
    assert celery("ask('nonsense')") == [{"ours@here": {"error": "KeyError('nonsense')"}}]
    (told,) = celery("ask('revoke', nonsense=1)")
    assert "task_id" in told["ours@here"]["error"]
    (told,) = celery("app.control.ping(pattern='o.*', matcher='pcre', limit=1, timeout=30)")
    assert "use glob" in told["ours@here"]["error"]


def test_celerys_commands_print_what_our_worker_says(shop: Shop, celery: Celery) -> None:
    worker = shop.worker("-c", "1", "-n", "ours@here")
    command = [celery.python, "-m", "celery", "-b", shop.url]
    ours = ["-t", "30", "-d", "ours@here"]
    assert "ours@here: OK\n        pong" in celery.run([*command, "inspect", *ours, "ping"])
    held = shop.send("hold", "a")
    shop.wait_for_note("start a")
    said = celery.run([*command, "inspect", *ours, "query_task", held.id])
    assert held.id in said
    assert "shop.hold" in said
    celery.run([*command, "control", *ours, "revoke", held.id, "another-id"])
    assert f"Revoked: {held.id}, another-id" in worker.text()
    shop.go()
    assert shop.get(held) == "a"


def test_both_kinds_of_workers_hear_our_client(shop: Shop, celery: Celery) -> None:
    shop.app.revoke("known-before")  # by nobody but this machine
    ours = shop.worker("-c", "1", "-n", "ours@here", "-Q", "elsewhere")
    celery.start_worker()
    assert "ERROR" not in celery.log.read_text()
    hello = "'hello', arguments={'from_node': 'x', 'revoked': {}}, reply=True, timeout=30, limit=2"
    said = celery(f"app.control.broadcast({hello})")
    told = {node: sorted(answer["revoked"]) for each in said for node, answer in each.items()}
    assert told == {"ours@here": ["known-before"], "theirs@here": ["known-before"]}
    held = shop.send("hold", "a", "never")
    wait_until(lambda: (shop.folder / "celery" / "started").exists())
    waiting = shop.send("hold", "b", "never")
    waiting.revoke()
    held.revoke(terminate=True)
    wait_until(lambda: f"Discarding revoked task: shop.hold[{waiting.id}]" in celery.log.read_text())
    wait_until(lambda: held.state == "REVOKED")
    wait_until(lambda: f"Revoked, and stopped if they run: {held.id}" in ours.text())


@pytest.mark.parametrize("shop", ["own_redis"], indirect=True)
def test_celerys_client_sees_how_far_a_task_of_ours_is(shop: Shop, celery: Celery) -> None:
    shop.worker("-c", "1")
    result = shop.send("counts", 10, 4)
    wait_until(lambda: result.state == "PROGRESS")
    shown = {"current": 4, "total": 10, "percent": 40.0, "message": "Counting", "unit": "things"}
    asked = f"[app.AsyncResult('{result.id}').state, app.AsyncResult('{result.id}').info]"
    wait_until(lambda: celery(asked) == ["PROGRESS", shown])
    shop.go()
    assert celery(f"app.AsyncResult('{result.id}').get(timeout=60)") == 10
