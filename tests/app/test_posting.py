"""Many callers of one process that send at the same moment, on a real server."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tools.rabbitmq import RabbitMQ
from umbel import Task, Umbel, bridge
from umbel.errors import PublishError
from umbel.posting import Mailbox
from umbel.stores.amqp.address import addresses
from umbel.stores.amqp.entities import declare_queue
from umbel.stores.amqp.opening import connect


def made(url: str, **settings: Any) -> tuple[Umbel, Task[[int], int]]:
    app = Umbel("posting", broker=url, task_default_queue=f"posting-{uuid.uuid4().hex}", **settings)

    @app.task
    def double(n: int) -> int:
        return 2 * n

    return app, double


def size(app: Umbel, queue: str | None = None) -> int:
    return bridge.get().run(app.broker.size(queue or app.conf.task_default_queue), 30)


@pytest.fixture
def shop(rabbitmq: RabbitMQ) -> Iterator[tuple[Umbel, Task[[int], int]]]:
    app, double = made(rabbitmq.url, result_backend="rpc://")
    with app:
        yield app, double


@pytest.mark.server
def test_what_threads_send_at_once_arrives_once_each(shop: tuple[Umbel, Task[[int], int]]) -> None:
    app, double = shop
    with ThreadPoolExecutor(16) as pool:
        ids = {result.id for result in pool.map(double.delay, range(400))}
    assert len(ids) == 400
    assert size(app) == 400


@pytest.mark.server
async def test_of_nothing_nothing_is_sent(shop: tuple[Umbel, Task[[int], int]]) -> None:
    app, double = shop
    assert await double.adelay_many([]) == []
    way = bridge.get()

    async def post() -> BaseException | None:
        await way.entered(app.broker)
        told: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        app.broker.post([], told.set_result)  # type: ignore[attr-defined]
        return await told

    assert await way.cross(post()) is None


@pytest.mark.server
def test_what_coroutines_send_at_once_arrives_once_each(shop: tuple[Umbel, Task[[int], int]]) -> None:
    app, double = shop

    async def some() -> None:
        await asyncio.gather(*(double.adelay(n) for n in range(100)))
        await asyncio.gather(*(double.aapply_async((n,), countdown=3600) for n in range(3)))
        await double.options(priority=3).adelay(1)

    loops = [threading.Thread(target=lambda: asyncio.run(some())) for _ in range(2)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert size(app) == 202


@pytest.mark.server
def test_what_the_server_refuses_fails_for_its_own_caller_alone(
    rabbitmq: RabbitMQ, shop: tuple[Umbel, Task[[int], int]]
) -> None:
    app, double = shop
    full = f"full-{uuid.uuid4().hex}"

    async def make_full() -> None:
        channel = await (connection := await connect(addresses(rabbitmq.url))).channel()
        await declare_queue(channel, full, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
        await connection.close()

    asyncio.run(make_full())

    async def mixed() -> list[object]:
        calls = [double.options(queue=full if n % 5 == 0 else None).adelay(n) for n in range(50)]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    outcomes = asyncio.run(mixed())
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, PublishError)] == list(range(0, 50, 5))
    assert size(app) == 40


@pytest.mark.server
def test_a_coroutine_can_go_away_while_it_waits(shop: tuple[Umbel, Task[[int], int]]) -> None:
    app, double = shop

    async def leave() -> None:
        calls = [asyncio.ensure_future(double.adelay(n)) for n in range(20)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        assert len(await asyncio.gather(*calls[1::2])) == 10
        await double.adelay(1)

    asyncio.run(leave())
    assert 11 <= size(app) <= 21


@pytest.mark.server
@pytest.mark.slow
def test_what_was_not_sent_in_time_is_not_sent_later(tmp_path: Path) -> None:
    server = RabbitMQ(tmp_path / "own")
    server.start()
    try:
        app, double = made(server.url)
        double.apply_async((1,), retry=False)
        server.stop()
        app.conf.broker_publish_timeout = 0.3
        with pytest.raises(PublishError):
            double.delay(2)

        async def try_it() -> None:
            with pytest.raises(PublishError):
                await double.adelay(3)

        asyncio.run(try_it())
        server.start()
        app.conf.broker_publish_timeout = 30.0
        double.delay(4)
        assert size(app) == 2
        app.close()
    finally:
        server.close()


@pytest.mark.server
@pytest.mark.slow
def test_every_thousand_of_many_calls_has_the_time_of_one(rabbitmq: RabbitMQ) -> None:
    app, double = made(rabbitmq.url)
    with app:
        double.delay(0)
        app.conf.broker_publish_timeout = 0.5
        double.delay_many([(n,) for n in range(50_000)])  # no server takes so many in half a second
        assert size(app) == 50_001


def test_a_server_that_is_not_there_is_told_to_every_caller() -> None:
    app, double = made("amqp://guest:guest@127.0.0.1:1//")
    with app, ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(double.delay, n) for n in range(8)]
        for call in calls:
            assert isinstance(call.exception(), PublishError)


class Sleeper(asyncio.SelectorEventLoop):
    """Counts how often it is woken."""

    woken = 0

    def _write_to_self(self) -> None:
        self.woken += 1
        super()._write_to_self()  # type: ignore[misc]


def test_a_mailbox_wakes_its_loop_once_for_all_that_comes_at_once() -> None:
    taken: list[int] = []
    loop = Sleeper()
    mailbox = Mailbox(loop, taken.append)
    for turn in (1, 2):
        for n in range(100):
            mailbox.put(n)
        assert loop.woken == turn
        loop.run_until_complete(asyncio.sleep(0))
        assert len(taken) == 100 * turn
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        mailbox.put(1)
