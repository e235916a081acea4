"""Tests of calls that are kept in a file while their broker is away, with a real RabbitMQ that comes and goes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.process import PATIENCE, Shop, wait_until
from tools.ports import free_port
from tools.rabbitmq import RabbitMQ
from umbel.app import Umbel
from umbel.brokers.amqp import AmqpBroker
from umbel.call import NO_OPTIONS
from umbel.errors import ConfigurationError, PublishError, StoreRefused, StoreUnreachable
from umbel.model import Envelope, Message, Route
from umbel.stores.amqp.channel import Arrival
from umbel.stores.sqlite.spool import SpoolFile
from umbel.testing.conformance.harness import until
from umbel.wire.envelope import unpack
from umbel.wire.marks import RESENT
from umbel.wire.task_v2 import decode, encode

pytestmark = [pytest.mark.server, pytest.mark.slow]

CLIENT = """
import sys
from umbel import Umbel
url, queue, spool, first, last = sys.argv[1:]
app = Umbel("client", broker=url, backend="rpc://", broker_spool=spool, task_default_queue=queue)
for number in range(int(first), int(last)):
    app.send_task("count", (number,))
print("sent", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RabbitMQ]:
    """A server that is not started yet."""
    made = RabbitMQ(tmp_path / "server")
    yield made
    made.close()


@pytest.fixture
def queue() -> str:
    return f"spool-{uuid.uuid4().hex}"


def client(url: str, queue: str, path: Path, **settings: Any) -> Umbel:
    return Umbel(
        "client", broker=url, broker_spool=str(path), task_default_queue=queue, set_as_current=False, **settings
    )


class Process:
    """A program that sends and then lives on."""

    def __init__(self, url: str, queue: str, path: Path, first: int, last: int) -> None:
        words = [sys.executable, "-c", CLIENT, url, queue, str(path), str(first), str(last)]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self._log = path.parent / f"client-{first}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                words, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=path.parent
            )

    def wait_until_sent(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"sent\n", self._log.read_text()

    def end(self, *, kill: bool = False) -> str:
        """Let it end, or kill it; gives what it said on standard error."""
        if kill:
            self.process.kill()
        self.process.communicate(timeout=PATIENCE)
        return self._log.read_text()


def taken(url: str, queue: str, count: int) -> list[Envelope]:
    """All that is in the queue, once there are so many: as it stands there, copies too."""
    return asyncio.run(_taken(url, queue, count))


async def _taken(url: str, queue: str, count: int) -> list[Envelope]:
    async with AmqpBroker(url) as broker:

        async def there() -> bool:
            return await broker.size(queue) >= count

        await until(there)
        size = await broker.size(queue)
        came: list[Arrival] = []

        async def all_came() -> bool:
            return len(came) >= size

        async with broker.link.scratch() as channel:
            await channel.consume(queue, "test", came.extend, no_ack=True)
            await until(all_came)
    return [Envelope("amqp", "", arrival.head, arrival.body) for arrival in came]


def letter(form: str) -> Envelope:
    return encode(Message(task="t", id="i"), form)


def numbers(envelopes: list[Envelope]) -> list[int]:
    return [json.loads(envelope.body)[0][0] for envelope in envelopes]


def marked(envelopes: list[Envelope]) -> list[bool]:
    return [bool(unpack(envelope).headers.get(RESENT)) for envelope in envelopes]


def test_two_hundred_calls_outlive_their_client_and_come_once_in_order(
    server: RabbitMQ, queue: str, tmp_path: Path
) -> None:
    path = tmp_path / "calls.spool"
    killed = Process(server.url, queue, path, 0, 100)
    killed.wait_until_sent()
    assert killed.end(kill=True).count("The broker is away") == 1
    living = Process(server.url, queue, path, 100, 200)
    living.wait_until_sent()
    assert SpoolFile(str(path)).count() == (200, 0)
    server.start()
    wait_until(lambda: not SpoolFile(str(path)).any())
    letters = taken(server.url, queue, 200)
    assert numbers(letters) == list(range(200))
    assert not any(marked(letters))
    living.end()


def test_whoever_is_killed_while_it_sends_loses_nothing_and_what_comes_twice_is_marked(
    server: RabbitMQ, queue: str, tmp_path: Path
) -> None:
    path = tmp_path / "calls.spool"
    first = Process(server.url, queue, path, 0, 1000)
    first.wait_until_sent()
    server.start()
    spool = SpoolFile(str(path))
    wait_until(lambda: spool.count()[0] < 1000)
    first.end(kill=True)
    second = Process(server.url, queue, path, 1000, 1001)
    second.wait_until_sent()
    wait_until(lambda: not spool.any())
    letters = taken(server.url, queue, 1001)
    fresh = [number for number, again in zip(numbers(letters), marked(letters), strict=True) if not again]
    assert sorted(set(numbers(letters))) == list(range(1001))
    assert fresh == sorted(set(fresh))
    assert len(letters) <= 1101
    second.end()


def test_a_client_that_lives_on_gets_the_results_of_what_was_kept(
    tmp_path: Path, server: RabbitMQ, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    shop = Shop(folder, server.url, "rpc://")
    shop.app.conf.broker_spool = str(tmp_path / "calls.spool")
    caplog.set_level(logging.INFO, "umbel.spool")
    try:
        results = [shop.send("add", n, n) for n in range(20)]
        assert caplog.text.count("The broker is away, calls are kept in") == 1
        server.start()
        wait_until(lambda: "The broker has taken what was kept in" in caplog.text)
        shop.worker("-c", "1")
        assert [shop.get(result) for result in results] == [2 * n for n in range(20)]
        assert shop.get(shop.send("add", 1, 1)) == 2
        assert caplog.text.count("The broker is away") == 1
    finally:
        shop.close()


def test_a_server_that_goes_and_comes_back_gets_all_in_order(server: RabbitMQ, queue: str, tmp_path: Path) -> None:
    server.start()
    app = client(server.url, queue, tmp_path / "calls.spool")
    for n in range(5):
        app.send_task("count", (n,))
    server.stop()
    app.conf.broker_publish_timeout = 0.5
    for n in range(5, 10):
        app.send_task("count", (n,), queue=queue)
    app.conf.broker_publish_timeout = 60.0
    server.start()
    spool = SpoolFile(str(tmp_path / "calls.spool"))
    wait_until(lambda: not spool.any())
    app.send_task("count", (10,))
    assert numbers(taken(server.url, queue, 11)) == list(range(11))
    app.close()


def test_a_worker_sends_what_others_left(rabbitmq: RabbitMQ, queue: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.spool"
    left = client(f"amqp://127.0.0.1:{free_port()}//", queue, path)
    left.send_task("shop.add", (1, 2))
    left.close()
    shop = Shop(tmp_path, rabbitmq.url, "rpc://")
    shop.environ.update(UMBEL_TASK_DEFAULT_QUEUE=queue, UMBEL_BROKER_SPOOL=str(path))
    try:
        shop.worker("-c", "1")
        shop.wait_for_note("add 1 2")
        assert SpoolFile(str(path)).count() == (0, 0)
    finally:
        shop.close()


def test_one_sends_at_a_time(rabbitmq: RabbitMQ, queue: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.spool"
    away = client(f"amqp://127.0.0.1:{free_port()}//", queue, path)
    away.send_task("count", (0,))
    away.close()
    spool = SpoolFile(str(path))
    lock = spool.lock()
    assert lock is not None
    app = client(rabbitmq.url, queue, path)
    app.send_task("count", (1,))
    assert spool.count() == (2, 0)
    lock.release()
    wait_until(lambda: not spool.any())
    assert numbers(taken(rabbitmq.url, queue, 2)) == [0, 1]
    app.close()


def test_a_call_of_which_is_not_sure_that_it_arrived_is_sent_again_and_marked(
    rabbitmq: RabbitMQ, queue: str, tmp_path: Path
) -> None:
    app = client(rabbitmq.url, queue, tmp_path / "calls.spool", security_signing_keys=["a secret of some length"])
    route, message = app.publisher.prepare("count", (7,), {}, NO_OPTIONS)
    assert app.spool is not None
    app.spool.file.add([(route, encode(message, "amqp", protection=app.protection))], doubtful=True)
    app.send_task("count", (8,))
    letters = taken(rabbitmq.url, queue, 2)
    assert (numbers(letters), marked(letters)) == ([7, 8], [True, False])
    signed = decode(letters[0], accept=app.accept_content, protection=app.protection)
    assert signed.args == [7]
    app.close()


def test_what_the_broker_refuses_stays_and_is_in_nobodys_way(
    rabbitmq: RabbitMQ, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("umbel.spooling.REFUSALS", 1)
    path = tmp_path / "calls.spool"
    away = client(f"amqp://127.0.0.1:{free_port()}//", queue, path)
    away.send_task("count", (0,))
    away.send_task("count", (1,), queue="a.*.b")  # which no queue can be called on RabbitMQ
    away.send_task("count", (2,))
    away.close()
    app = client(rabbitmq.url, queue, path)
    app.send_task("count", (3,))
    spool = SpoolFile(str(path))
    wait_until(lambda: spool.count() == (0, 1))
    assert set(numbers(taken(rabbitmq.url, queue, 3))) == {0, 2, 3}
    assert "which stays in" in caplog.text
    app.close()


def test_what_is_refused_at_once_is_an_error_as_ever(rabbitmq: RabbitMQ, queue: str, tmp_path: Path) -> None:
    app = client(rabbitmq.url.replace("guest:guest", "guest:wrong"), queue, tmp_path / "calls.spool")
    with pytest.raises(PublishError, match="login refused") as caught:
        app.send_task("count", (0,))
    assert isinstance(caught.value.__cause__, StoreRefused)
    assert SpoolFile(str(tmp_path / "calls.spool")).count() == (0, 0)
    app.close()


def test_a_path_that_cannot_be_written_is_an_error_at_once(rabbitmq: RabbitMQ, queue: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    app = client(rabbitmq.url, queue, tmp_path / "file" / "calls.spool")
    with pytest.raises(ConfigurationError, match=r"broker_spool=.*: nothing can be kept there"):
        app.send_task("count", (0,))


def test_a_file_that_is_something_else_is_an_error_at_once(rabbitmq: RabbitMQ, queue: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("this is no database " * 1000)
    app = client(rabbitmq.url, queue, tmp_path / "file")
    with pytest.raises(ConfigurationError, match=r"broker_spool=.*not an SQLite database"):
        app.send_task("count", (0,))


def test_a_broker_in_memory_needs_none(tmp_path: Path) -> None:
    with client("memory://", "q", tmp_path / "calls.spool") as app:
        app.send_task("count", (0,))
        assert app.spool is None
    assert not (tmp_path / "calls.spool").exists()


def test_the_report_says_how_many_wait(queue: str, tmp_path: Path) -> None:
    app = client(f"amqp://127.0.0.1:{free_port()}//", queue, tmp_path / "calls.spool")
    app.send_task("count", (0,))
    (tmp_path / "tasks.py").write_text("from umbel import Umbel\napp = Umbel()\n")
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "UMBEL_BROKER_URL": app.conf.broker_url}
    environ["UMBEL_BROKER_SPOOL"] = str(tmp_path / "calls.spool")
    words = [sys.executable, "-m", "umbel", "report", "--json"]
    done = subprocess.run(words, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["spool"] == "1 waiting"
    assert told["broker_spool"].startswith(str(tmp_path / "calls.spool"))
    app.close()


async def test_who_gives_up_says_whether_the_message_may_have_arrived(
    rabbitmq: RabbitMQ, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AmqpBroker(f"amqp://127.0.0.1:{free_port()}//") as away:
        with pytest.raises(StoreUnreachable) as never:
            await away.publish([(Route(queue), letter("amqp"))])
    assert not never.value.doubtful
    async with AmqpBroker(rabbitmq.url, {"broker_publish_timeout": 0.0}) as broker:
        await broker.publish([(Route(queue), letter("amqp"))])
        connection = await broker.link.connection()
        monkeypatch.setattr(connection, "write_soon", lambda parts: connection.abort(StoreUnreachable("cut")))
        with pytest.raises(StoreUnreachable, match="cut") as lost:
            await broker.publish([(Route(queue), letter("amqp"))])
    assert lost.value.doubtful
