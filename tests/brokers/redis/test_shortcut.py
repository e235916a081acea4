"""Plain calls to Redis that write in their own threads: what comes of them whatever happens to their connection."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cli.project import ROOT, wait_until
from tests.servers.proxy import Proxy
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.errors import PublishError, StoreRefused, StoreUnreachable
from umbel.stores.redis.address import Address, addresses
from umbel.stores.redis.direct import DirectConnection
from umbel.wire import marks

pytestmark = pytest.mark.server


@pytest.fixture
def proxy(redis: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis.port) as made:
        yield made


@pytest.fixture
def looker(redis: RedisServer) -> Iterator[DirectConnection]:
    """A connection that goes straight to the server."""
    made = DirectConnection(addresses(redis.url)[0], 30)
    yield made
    made.close()


@pytest.fixture
def app(url: str, proxy: Proxy) -> Iterator[Umbel]:
    """One whose broker knows the server; its calls go through the proxy."""
    made = Umbel("tasks", broker=proxy.url(url), backend=None, task_default_queue="todo")
    made.send_task("t", [0])
    yield made
    made.close()


@pytest.fixture
def sent(looker: DirectConnection, queue: str) -> Callable[[], list[dict[str, Any]]]:
    """The messages that were sent, the last first, after the one that made the broker known."""

    def look() -> list[dict[str, Any]]:
        return [json.loads(entry) for entry in looker.ask([("LRANGE", f"{queue}:todo", 0, -2)], 30)[0]]

    return look


Sent = Callable[[], list[dict[str, Any]]]


def ids(messages: list[dict[str, Any]]) -> list[str]:
    return [message["headers"]["id"] for message in messages]


def doubtful(messages: list[dict[str, Any]]) -> list[bool]:
    return [marks.RESENT in message["headers"] for message in messages]


def test_calls_one_after_another_have_a_connection_for_themselves(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    assert proxy.made == 1
    results = [app.send_task("t", [n]) for n in range(3)]
    assert proxy.made == 2
    assert ids(sent()) == [result.id for result in reversed(results)]
    assert not any(doubtful(sent()))


def test_a_queue_that_it_sends_to_for_the_first_time_is_found_by_clients_of_others(
    app: Umbel, looker: DirectConnection, queue: str
) -> None:
    for name in ("mail", "mail", "post"):
        app.send_task("t", queue=name)
    mail, post, known = looker.ask(
        [("SMEMBERS", f"{queue}:_kombu.binding.{name}") for name in ("mail", "post")]
        + [("SMEMBERS", f"{queue}:umbel.queues")],
        30,
    )
    assert (len(mail), len(post), set(known)) == (1, 1, {b"todo", b"mail", b"post"})


def test_many_calls_of_one_and_those_with_a_time_are_sent_there_too(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    @app.task(name="t")
    def task(n: int) -> int:
        return n

    assert len(task.delay_many([(n,) for n in range(50)])) == 50
    later = app.send_task("t", [50], countdown=600)
    assert len(sent()) == 51
    assert ids(sent())[0] == later.id
    assert proxy.made == 2


def test_calls_of_many_threads_arrive_once_each(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda n: app.send_task("t", [n]), range(400)))
    assert sorted(ids(sent())) == sorted(result.id for result in results)
    assert not any(doubtful(sent()))
    assert proxy.made == 2


def test_a_connection_that_ended_unused_is_made_again_and_leaves_no_doubt(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    app.send_task("t", [1])
    proxy._do(lambda: proxy._ways[1].reset())
    app.send_task("t", [2])
    assert proxy.made == 3
    assert doubtful(sent()) == [False, False]


def test_both_connections_are_made_again_when_both_have_ended(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    app.send_task("t", [1])
    proxy.cut()
    for n in (2, 3):
        app.send_task("t", [n])
    assert len(sent()) == 3
    assert proxy.made == 4


def test_what_was_sent_and_not_confirmed_is_sent_again_with_a_mark(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    app.send_task("t", [1])
    proxy.answer_no_more()
    with ThreadPoolExecutor(1) as other:
        call = other.submit(app.send_task, "t", [2])
        wait_until(lambda: len(sent()) == 2)
        assert not call.done()
        proxy.cut()
        result = call.result(60)
    assert ids(sent())[:2] == [result.id, result.id]
    assert doubtful(sent()) == [True, False, False]


def test_a_server_that_does_not_answer_in_time_is_an_error_and_no_wait(url: str, proxy: Proxy) -> None:
    app = Umbel(
        "tasks",
        broker=proxy.url(url),
        backend=None,
        task_default_queue="todo",
        task_publish_retry=False,
    )
    app.send_task("t", [1])
    app.send_task("t", [2])
    app.conf.broker_publish_timeout = 0.5
    proxy.stall()
    with pytest.raises(PublishError, match=r"no answer within 0\.5 s"):
        app.send_task("t", [3])
    proxy.flow()
    app.conf.broker_publish_timeout = 5.0
    wait_until(lambda: _goes(app))
    app.close()


def _goes(app: Umbel) -> bool:
    try:
        app.send_task("t")
    except PublishError:
        return False
    return True


def test_a_ctrl_c_in_the_middle_leaves_no_answer_to_the_next_call(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    app.send_task("t", [1])
    proxy.stall()
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012  it must not come before that
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        app.send_task("t", [2])
    proxy.flow()
    last = app.send_task("t", [3], countdown=600)
    result = app.send_task("t", [4])
    assert ids(sent())[0] == result.id != last.id
    assert proxy.made == 3


def test_what_the_server_refuses_is_told_as_on_the_other_way(app: Umbel, looker: DirectConnection, queue: str) -> None:
    app.send_task("t", [1])
    looker.ask([("DEL", f"{queue}:todo"), ("SET", f"{queue}:todo", "somebody's")], 30)
    with pytest.raises(PublishError, match="is a string and should be a list"):
        app.send_task("t", [2])
    looker.ask([("DEL", f"{queue}:todo")], 30)
    app.send_task("t", [3])
    assert looker.ask([("LLEN", f"{queue}:todo")], 30) == [1]


def test_calls_go_the_other_way_where_there_can_be_no_second_connection(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    proxy.refuse()
    for n in range(3):
        app.send_task("t", [n])
    assert len(sent()) == 3
    assert proxy.made == 1


def test_no_connection_is_left_when_the_app_is_closed(app: Umbel, proxy: Proxy, sent: Sent) -> None:
    app.send_task("t", [1])
    ways = list(proxy._ways)
    assert len(ways) == 2
    app.close()
    wait_until(lambda: all(way.client.is_closing() for way in ways))
    app.send_task("t", [2])
    app.send_task("t", [3])
    assert len(sent()) == 3


def test_a_fork_makes_a_connection_of_its_own(tmp_path: Path, url: str, sent: Sent) -> None:
    (tmp_path / "program.py").write_text(f"""
import gc, os
from umbel import Umbel

app = Umbel("tasks", broker={url!r}, backend=None, task_default_queue="todo")

def call():
    for n in range(3):
        app.send_task("t", [n])

call()
child = os.fork()
call()
gc.collect()
if child:
    assert os.waitpid(child, 0)[1] == 0
    call()
""")
    command = [sys.executable, "-W", "error", "program.py"]
    ended = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(set(ids(sent()))) == 11
    assert not any(doubtful(sent()))


# -- the connection itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"password": "wrong", "user": "nobody"}, StoreRefused, "login refused"),
        ({"db": 99}, StoreRefused, "there is no database 99"),
        ({"path": "/no/such/socket"}, StoreUnreachable, "No such file"),
        ({"host": "no.such.host.invalid"}, StoreUnreachable, "no.such.host.invalid"),
    ],
)
def test_a_server_that_does_not_let_it_in_is_an_error(
    redis: RedisServer, change: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        DirectConnection(addresses(redis.url)[0]._replace(**change), 5)


def test_a_server_that_speaks_otherwise_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def speak() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"220 mail.example.org\r\n")
                peer.recv(1)

        threading.Thread(target=speak, daemon=True).start()
        with pytest.raises(StoreUnreachable, match="the connection was lost"):
            DirectConnection(Address("127.0.0.1", port, "", ""), 30)
