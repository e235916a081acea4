"""What becomes of a task, and of what follows it, when no runner is left to settle it."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import anyio
import pytest

from tests.worker.process import EVERYWHERE, POOLS, Shop, twin
from umbel.app import Umbel
from umbel.attempt import drive
from umbel.call import NO_OPTIONS
from umbel.errors import NotRegistered, TaskRevokedError, WorkerLostError
from umbel.model import Links
from umbel.progress.flusher import Flusher
from umbel.result import AsyncResult
from umbel.testing.conformance.harness import PATIENCE, take
from umbel.worker.epitaphs import Epitaphs
from umbel.worker.holding import LOST, REVOKED, TIMED_OUT, TRIES, Certificate, Held
from umbel.worker.journey import Journey
from umbel.worker.settling import Settling

pytestmark = pytest.mark.brokers(*EVERYWHERE)


def sig(task: str, *args: Any, **options: Any) -> dict[str, Any]:
    return {"task": task, "args": list(args), "kwargs": {}, "options": options, "immutable": True}


async def asend(*args: Any, **options: Any) -> AsyncResult[Any]:
    return await asyncio.to_thread(send, *args, **options)


def send(app: Umbel, name: str, *args: Any, options: Any = NO_OPTIONS, **links: Any) -> AsyncResult[Any]:
    """Send a call with links."""
    route, message = app.publisher.prepare(name, args, {}, options)
    app.publisher.send(route, replace(message, links=Links(**links)))
    return app.result(message.id)


def errbacks() -> list[dict[str, Any]]:
    return [{**sig("shop.hears"), "immutable": False}, sig("shop.hears_all")]


@pytest.mark.parametrize("pool", POOLS)
def test_error_callbacks_hear_of_a_task_whose_handler_kills_every_runner(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "-c", "2")
    failed = send(shop.app, "shop.fatal", errbacks=errbacks(), chain=[sig("shop.add", 1, 1, task_id="next")])
    shop.wait_for_note(f"hears {failed.id}")
    for result in (failed, shop.app.result("next")):
        with pytest.raises(WorkerLostError, match="task_max_starts=3"):
            shop.get(result)
    assert (shop.count("start fatal"), shop.count("on_failure"), shop.count("hears all")) == (3, 2, 0)
    assert f"shop.hears_all of shop.fatal[{failed.id}] is not called" in worker.text()
    shop.wait_for_buried(failed.id)


DEADLY = """

class Deadly:
    def send(self, message, next):
        if message.task == "shop.hears":
            note("middleware")
            os._exit(5)
        return next(message)

    async def run(self, request, next):
        return await next(request)


app.add_middleware(Deadly())
"""


def test_what_kills_every_runner_that_only_settles_it_is_settled_by_the_node(shop: Shop) -> None:
    module = shop.folder / "shop.py"
    module.write_text(module.read_text() + DEADLY)
    worker = shop.worker("-c", "2")
    failed = send(shop.app, "shop.exit_process", errbacks=errbacks())
    with pytest.raises(WorkerLostError, match="task_max_starts=3"):
        shop.get(failed)
    assert (shop.count("start exit"), shop.count("middleware")) == (3, TRIES)
    assert "settled by the node itself" in worker.text()
    shop.wait_for_buried(failed.id)
    assert shop.get(shop.send("add", 1, 1)) == 2


@pytest.mark.parametrize("pool", [*POOLS, "solo"])
def test_error_callbacks_hear_of_what_was_cut_off_with_its_worker(shop: Shop, pool: str) -> None:
    worker = shop.worker("-P", pool, "--grace", "0.2")
    chain = [sig("shop.add", 1, 1, task_id="next")]
    cut = send(shop.app, f"shop.{twin('hold_early', pool)}", "a", errbacks=errbacks(), chain=chain)
    shop.wait_for_note("start a")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 1
    for result in (cut, shop.app.result("next")):
        with pytest.raises(WorkerLostError, match="acks_late is off"):
            shop.get(result)
    shop.worker("-c", "1")
    shop.wait_for_note(f"hears {cut.id}")
    assert shop.count("hears all") == 0


# -- the node's part alone ----------------------------------------------------------------------------------------


@pytest.fixture
def app() -> Umbel:
    app = Umbel("last", broker=f"memory://{uuid.uuid4().hex}", set_as_current=False, accept_content=["json", "pickle"])

    @app.task(name="again", acks_on_failure_or_timeout=False)
    def again() -> None: ...

    @app.task(name="nothing")
    def nothing(task_id: str = "") -> None: ...

    return app


@asynccontextmanager
async def held(app: Umbel, certificate: Certificate) -> AsyncIterator[tuple[Held, Epitaphs, Settling]]:
    """The one message of the app, as a node has it that must settle it."""
    async with app.broker as broker:
        consumer = await broker.consume(["celery"], 1)
        (delivery,) = await anext(aiter(consumer))
        settling = Settling(broker, consumer, app.backend, app.clock)
        writing = asyncio.create_task(settling.run())
        each = Held(delivery)
        each.certificate = certificate
        yield each, Epitaphs(app, "here", settling), settling
        with anyio.fail_after(PATIENCE):
            while not settling.idle:  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.001)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await consumer.close()


async def test_a_task_that_is_to_run_again_beyond_its_limit_goes_back(app: Umbel) -> None:
    result = await asend(app, "again", chain=[sig("nothing", task_id="next")])
    async with held(app, Certificate(TIMED_OUT, "too long")) as (each, epitaphs, _):
        epitaphs.write(each)
    assert [await one.astate() for one in (result, app.result("next"))] == ["PENDING", "PENDING"]
    async with app.broker as broker:
        (delivery,) = await take(broker, "celery", 1)
    assert (delivery.envelope.id, delivery.redelivered) == (result.id, True)


async def test_an_error_callback_that_can_go_nowhere_costs_nobody_else_anything(
    app: Umbel, caplog: pytest.LogCaptureFixture
) -> None:
    links = {"errbacks": [sig("nothing", routing_key="nowhere")], "chain": [sig("nothing", task_id="next")]}
    result = await asend(app, "nothing", **links)
    async with held(app, Certificate(LOST, "it died", bury=True)) as (each, epitaphs, _):
        epitaphs.write(each)
    assert [await one.astate() for one in (result, app.result("next"))] == ["FAILURE", "FAILURE"]
    assert f"What follows nothing[{result.id}] is not sent" in caplog.text
    assert [letter.id for letter in app.dead.list()] == [result.id]


@pytest.mark.parametrize(
    ("name", "serializer", "told"),
    [
        ("nothing", "pickle", "content type 'application/x-python-serialize' is not accepted"),
        ("nobody", "json", "nobody"),
    ],
)
async def test_what_the_node_cannot_read_has_a_record_all_the_same(
    app: Umbel, caplog: pytest.LogCaptureFixture, name: str, serializer: str, told: str
) -> None:
    options = NO_OPTIONS.with_(serializer=serializer)
    result = await asend(app, name, options=options, chain=[sig("nothing", task_id="next")])
    async with held(app, Certificate(REVOKED, "revoked")) as (each, epitaphs, _):
        epitaphs.write(each)
    assert [await one.astate() for one in (result, app.result("next"))] == ["REVOKED", "PENDING"]
    assert f"What follows task [{result.id}] is not known here" in caplog.text
    assert told in caplog.text


async def test_a_part_of_a_chord_is_kept(app: Umbel) -> None:
    result = await asend(app, "nothing", chord=sig("nothing"))
    async with held(app, Certificate(REVOKED, "revoked")) as (each, epitaphs, _):
        epitaphs.write(each)
    assert [letter.id for letter in app.dead.list()] == [result.id]
    assert await result.astate() == "REVOKED"


async def test_a_revoked_task_that_nobody_here_knows_is_revoked_with_its_chain(app: Umbel) -> None:
    await asend(app, "nobody", chain=[sig("nothing", task_id="next")])
    told: list[Any] = []
    async with held(app, Certificate(REVOKED, "revoked")) as (each, _, settling):
        flusher = Flusher(app, "here", lambda notes, records: None)
        journey = Journey(app, "here", None, None, flusher)  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("umbel.current.recorder", told.append)
            report = drive(journey.certify(1, each.delivery, Certificate(REVOKED, "revoked")))
            lost = drive(journey.certify(1, each.delivery, Certificate(LOST, "it died")))
        assert settling.idle
    assert (report.verdict.kind, lost.verdict.kind) == ("ack", "dead")
    assert report.record is not None
    assert [(record.id, record.state) for record in told] == [("next", "REVOKED"), ("next", "FAILURE")]
    errors = (TaskRevokedError, NotRegistered)
    for record, error in zip(told, errors, strict=True):
        assert error.__name__.encode() in record.payload
