"""Plain calls that wait for a result on Redis in their own threads: what comes of it whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.cli.project import wait_until
from tests.servers.proxy import Proxy
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.backends.redis import RedisBackend
from umbel.errors import ContentDisallowed, StoreError, TimeoutError
from umbel.result import AsyncResult
from umbel.stores.redis import awaiting
from umbel.stores.redis.address import addresses
from umbel.stores.redis.direct import DirectConnection

pytestmark = pytest.mark.server


@pytest.fixture
def proxy(redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis.port) as made:
        yield made


@pytest.fixture
def server(redis: RedisServer) -> Iterator[DirectConnection]:
    """A connection that goes straight to the server."""
    made = DirectConnection(addresses(redis.url)[0], 30)
    yield made
    made.close()


@pytest.fixture
def app(redis: RedisServer, proxy: Proxy) -> Iterator[Umbel]:
    """One whose backend has found the server; it is reached through the proxy."""
    made = Umbel("tasks", broker="memory://", backend=proxy.url(redis.url))
    assert made.result(str(uuid4())).state == "PENDING"
    yield made
    made.close()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Waits give a server time that stands still for a moment, save where a test makes it less."""

    def be(seconds: float) -> None:
        monkeypatch.setattr(awaiting, "_PATIENCE", seconds)

    be(30)
    return be


Tell = Callable[[AsyncResult[Any], str, Any], None]


@pytest.fixture
def tell(server: DirectConnection) -> Tell:
    """Stores and publishes a record, as Celery does; for any thread."""
    turn = threading.Lock()

    def put(result: AsyncResult[Any], state: str, value: Any) -> None:
        facts = {"status": state, "result": value, "traceback": None, "children": [], "task_id": result.id}
        key, payload = f"celery-task-meta-{result.id}", json.dumps(facts)
        with turn:
            server.ask([("SETEX", key, 600, payload), ("PUBLISH", key, payload)], 30)

    return put


Later = Callable[..., None]


@pytest.fixture
def later(server: DirectConnection, proxy: Proxy) -> Iterator[Later]:
    """Does something in a thread after some seconds, and in any case before the test is over."""
    timers: list[threading.Timer] = []

    def plan(work: Callable[[], object], seconds: float = 0.2) -> None:
        timers.append(threading.Timer(seconds, work))
        timers[-1].start()

    yield plan
    for timer in timers:
        timer.join()


def unknown(app: Umbel) -> AsyncResult[Any]:
    return app.result(str(uuid4()))


def test_an_end_that_is_there_and_one_that_comes_are_told_on_one_connection(
    app: Umbel, proxy: Proxy, tell: Tell, later: Later
) -> None:
    assert proxy.made == 1
    for n in range(3):
        there, comes = unknown(app), unknown(app)
        tell(there, "SUCCESS", n)
        assert there.get(timeout=60) == n
        later(lambda comes=comes, n=n: tell(comes, "SUCCESS", n))
        assert comes.get(timeout=60) == n
    assert proxy.made == 2


def test_what_is_no_end_is_waited_past(app: Umbel, proxy: Proxy, tell: Tell, later: Later) -> None:
    result = unknown(app)
    tell(result, "STARTED", None)
    later(lambda: tell(result, "PROGRESS", {"done": 1}), 0.1)
    later(lambda: tell(result, "FAILURE", {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}))
    with pytest.raises(ValueError, match="no"):
        result.get(timeout=60)
    assert proxy.made == 2


def test_an_end_whose_word_was_lost_is_found_by_looking(
    app: Umbel, proxy: Proxy, server: DirectConnection, later: Later
) -> None:
    result = unknown(app)
    record = json.dumps({"status": "SUCCESS", "result": 7, "traceback": None, "children": []})
    later(lambda: server.ask([("SETEX", f"celery-task-meta-{result.id}", 600, record)], 30))
    assert result.get(timeout=60) == 7
    assert proxy.made == 2


def test_a_wait_that_is_over_is_an_error_and_leaves_the_next_one_in_order(app: Umbel, tell: Tell, later: Later) -> None:
    slow, quick = unknown(app), unknown(app)
    with pytest.raises(TimeoutError, match=r"within 0\.2 s \(state PENDING\)"):
        slow.get(timeout=0.2)
    tell(slow, "SUCCESS", "slow")  # what is followed still
    later(lambda: tell(quick, "SUCCESS", "quick"))
    assert quick.get(timeout=60) == "quick"
    assert slow.get(timeout=60) == "slow"


def test_a_connection_that_is_lost_in_the_middle_is_no_error(
    app: Umbel, proxy: Proxy, tell: Tell, later: Later
) -> None:
    for n in range(2):
        result = unknown(app)
        later(proxy.cut, 0.1)
        later(lambda result=result, n=n: tell(result, "SUCCESS", n), 0.4)
        assert result.get(timeout=60) == n


def test_a_server_that_falls_silent_is_waited_for_elsewhere(
    app: Umbel, proxy: Proxy, tell: Tell, later: Later, patience: Callable[[float], None]
) -> None:
    first, result = unknown(app), unknown(app)
    tell(first, "SUCCESS", 0)
    assert first.get(timeout=60) == 0
    patience(0.5)
    proxy.stall()
    later(lambda: tell(result, "SUCCESS", 1), 0.1)
    later(proxy.flow, 1.5)
    assert result.get(timeout=60) == 1


def test_a_time_that_is_over_is_over_while_the_server_is_silent(
    app: Umbel, proxy: Proxy, tell: Tell, later: Later
) -> None:
    first = unknown(app)
    tell(first, "SUCCESS", 0)
    assert first.get(timeout=60) == 0
    proxy.stall()
    later(proxy.flow, 1.0)
    with pytest.raises(TimeoutError):
        unknown(app).get(timeout=0.3)


def test_many_threads_each_get_their_own(app: Umbel, proxy: Proxy, tell: Tell) -> None:
    results = [unknown(app) for _ in range(16)]
    with ThreadPoolExecutor(16) as threads:
        waiting = [threads.submit(result.get, 60) for result in results]
        time.sleep(0.1)
        for n, result in enumerate(results):
            tell(result, "SUCCESS", n)
        assert [each.result(60) for each in waiting] == list(range(16))
    assert proxy.made <= 3  # that of the loop, that of the one, and that on which the loop hears


def test_a_ctrl_c_ends_the_wait_and_leaves_the_next_one_in_order(app: Umbel, tell: Tell, later: Later) -> None:
    result = unknown(app)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  it must not come before that
        later(lambda: os.kill(os.getpid(), signal.SIGINT))
        result.get(timeout=60)
    tell(result, "SUCCESS", 1)
    assert result.get(timeout=60) == 1


def test_what_nobody_can_read_is_told_as_on_the_other_way(app: Umbel, server: DirectConnection) -> None:
    result = unknown(app)
    server.ask([("SETEX", f"celery-task-meta-{result.id}", 600, "no record")], 30)
    with pytest.raises(ContentDisallowed):
        result.get(timeout=0.3)


def test_who_may_not_follow_channels_gets_no_worse_answer(redis: RedisServer, tell: Tell) -> None:
    name = f"deaf{uuid4().hex}"
    admin = DirectConnection(addresses(redis.url)[0], 30)
    admin.ask([("ACL", "SETUSER", name, "on", ">secret", "~*", "resetchannels", "+@all")], 30)
    app = Umbel("tasks", broker="memory://", backend=redis.url.replace("redis://", f"redis://{name}:secret@"))
    try:
        there, never = unknown(app), unknown(app)
        assert never.state == "PENDING"
        tell(there, "SUCCESS", 1)
        assert there.get(timeout=60) == 1
        with pytest.raises(StoreError, match="forbidden"):
            never.get(timeout=60)
    finally:
        app.close()
        admin.ask([("ACL", "DELUSER", name)], 30)
        admin.close()


def test_an_app_that_is_closed_leaves_no_wait_behind(app: Umbel, proxy: Proxy, tell: Tell) -> None:
    first, result = unknown(app), unknown(app)
    tell(first, "SUCCESS", 0)
    assert first.get(timeout=60) == 0
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(result.get, 60)
        backend = app.backend
        assert isinstance(backend, RedisBackend)
        time.sleep(0.2)
        app.close()
        tell(result, "SUCCESS", 1)
        assert waiting.result(60) == 1
    ways = list(proxy._ways)
    app.close()
    wait_until(lambda: all(way.client.is_closing() for way in ways))
