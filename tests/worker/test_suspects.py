"""Tests of messages that may have taken a whole worker down."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest

from tests.worker.process import EVERYWHERE, Shop, Worker, wait_until
from tools.redis_server import RedisServer
from umbel import Umbel
from umbel.backends.redis import RedisBackend
from umbel.brokers.memory import MemoryBroker
from umbel.clock import SystemClock
from umbel.errors import StoreError, WorkerLostError
from umbel.model import ACK, Delivery, Envelope, Links, Message, Route
from umbel.ports import Consumer, Mark, ResultBackend
from umbel.testing.conformance.harness import listening, until
from umbel.wire import task_v2
from umbel.worker.board import Board
from umbel.worker.counts import PREFIX, MarkedCounts
from umbel.worker.epitaphs import Epitaphs
from umbel.worker.fleet import Fleet
from umbel.worker.holding import LOST, TRIES, Certificate, Held, Holding
from umbel.worker.pace import Pace
from umbel.worker.runners import Link, Runner
from umbel.worker.settler import Report
from umbel.worker.settling import Settling
from umbel.worker.suspects import Suspects

pytestmark = pytest.mark.brokers(*EVERYWHERE)

SLOTS = {"processes": "1", "solo": "1", "threads": "4", "async": "4"}


def supervise(shop: Shop, done: Callable[[], bool], *flags: str) -> None:
    """Start a worker, and another whenever it has died, as a supervisor does, until ``done``."""
    workers: list[Worker] = []

    def step() -> bool:
        if not workers or workers[-1].process.poll() is not None:
            workers.append(shop.worker(*flags, ready=False))
        return done()

    wait_until(step, "the end of it all")


@pytest.mark.parametrize(
    ("poison", "pool"), [("slay", "processes"), ("exit_process", "solo"), ("slay", "threads"), ("slay", "async")]
)
def test_a_task_that_takes_the_whole_worker_down_is_started_three_times(shop: Shop, poison: str, pool: str) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    if pool == "solo":
        shop._soften()
    result = shop.send(poison)
    good = [shop.send("add", n, 0) for n in range(50)]
    supervise(shop, lambda: result.ready() and all(other.ready() for other in good), "-P", pool, "-c", SLOTS[pool])
    with pytest.raises(WorkerLostError, match="3 starts ended without a verdict"):
        result.get(timeout=1)
    assert shop.count("start ") == 3
    (letter,) = wait_until(shop.buried)
    assert letter.id == result.id
    assert "task_max_starts=3" in letter.reason
    assert [other.get(timeout=1) for other in good] == list(range(50))
    if pool not in ("threads", "async"):  # there, one that ran beside it may not have been settled when all died
        assert shop.count("add") == 50
    # There, the count of one that was settled in the moment of a death stays until it expires.
    counted = [result] if pool in ("threads", "async") else [result, *good]
    wait_until(lambda: not shop.marks([PREFIX + each.id for each in counted]), "every count's end")


def test_an_innocent_that_runs_beside_it_is_done(shop: Shop) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    poisons = [shop.send("slay") for _ in range(2)]
    good = [shop.send("add", n, 0) for n in range(10)]
    supervise(shop, lambda: all(result.ready() for result in [*poisons, *good]), "-c", "2")
    assert [result.state for result in poisons] == ["FAILURE", "FAILURE"]
    assert [result.get(timeout=1) for result in good] == list(range(10))
    wait_until(lambda: {letter.id for letter in shop.buried()} == {result.id for result in poisons}, "both letters")


def test_what_was_only_held_when_the_worker_died_loses_no_life(shop: Shop) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    long = shop.send("hold", "a")
    held = [shop.send("add", n, 0) for n in range(10)]
    for start in (1, 2):
        worker = shop.worker("-c", "1")
        shop.wait_for_note("start a", start)
        wait_until(lambda: shop.waiting() == 0)
        worker.kill_tree()
    keys = [PREFIX + result.id for result in [long, *held]]
    assert shop.marks(keys) == {keys[0]: "1"}
    shop.go()
    shop.worker("-c", "1")
    assert shop.get(long) == "a"
    assert [shop.get(result) for result in held] == list(range(10))


@pytest.mark.brokers("sqlite")
def test_what_an_orderly_end_gives_back_is_no_suspect_unless_it_ran(shop: Shop) -> None:
    shop.environ["UMBEL_WORKER_PREFETCH_MULTIPLIER"] = "100"
    long = shop.send("hold", "a")
    held = [shop.send("add", n, 0) for n in range(10)]
    worker = shop.worker("-c", "1", "--grace", "0.2")
    keeper = shop.app.broker.keeper  # type: ignore[attr-defined]
    shop.wait_for_note("start a")
    wait_until(lambda: keeper.size("celery") == 0)
    worker.signal(signal.SIGTERM)
    worker.wait()
    rows = keeper.read(lambda connection: connection.execute("SELECT id, redelivered FROM messages").fetchall())
    assert dict(rows) == {long.id: 1, **{result.id: 0 for result in held}}


@pytest.mark.brokers("sqlite", "rabbitmq")  # on Redis it comes when its lease is over
def test_one_that_came_back_does_not_wait_for_the_end_of_a_long_queue(shop: Shop) -> None:
    again = shop.send("hold", "a")
    worker = shop.worker("-c", "1")
    shop.wait_for_note("start a")
    worker.kill_tree()
    shop.go()
    others = [shop.send("add", n, 0) for n in range(2000)]
    shop.worker("-c", "1")
    assert shop.get(again) == "a"
    assert [shop.get(result) for result in others] == list(range(2000))
    diary = shop.diary()
    assert diary.index("end a") < 1000, "it was put off for others"


class Doubtful(MemoryBroker):
    """A store whose first answers to a write of marks are lost, the writes themselves are not."""

    def __init__(self) -> None:
        super().__init__(f"memory://{uuid.uuid4().hex}")
        self.lost = 2
        self.written = asyncio.Event()

    async def put_marks(self, marks: Sequence[Mark]) -> None:
        await super().put_marks(marks)
        self.written.set()
        if self.lost:
            self.lost -= 1
            raise StoreError("the answer was lost")


class Idle:
    """One runner that keeps what it is given."""

    def __init__(self) -> None:
        self.given: list[Held] = []
        self.got_one = asyncio.Event()

    def reserve(self, most: int) -> list[int]:
        return [1][:most]

    def give_alone(self, number: int, held: Held) -> bool:
        self.given.append(held)
        self.got_one.set()
        return True

    def release(self, numbers: Iterable[int]) -> None: ...


def delivery(task_id: str) -> Delivery:
    return Delivery(Envelope("plain", task_id, b"", b""), "queue", "receipt", True)


@pytest.mark.anyio
async def test_a_start_whose_count_was_written_without_an_answer_is_counted_once() -> None:
    marks, runners = Doubtful(), Idle()
    suspects = Suspects(MarkedCounts(marks, SystemClock()), runners, 3)
    service = asyncio.create_task(suspects.run())
    suspects.take([delivery("a")])
    await runners.got_one.wait()
    assert (await marks.get_marks([PREFIX + "a"]), marks.lost) == ({PREFIX + "a": "1"}, 0)
    (held,) = runners.given
    assert (held.losses, held.certificate) == (1, None)
    await suspects.forgive(["a"])
    assert await marks.get_marks([PREFIX + "a"]) == {PREFIX + "a": "0"}
    service.cancel()


@pytest.mark.anyio
async def test_one_that_is_revoked_while_its_start_is_counted_is_not_started() -> None:
    marks, runners = Doubtful(), Idle()
    suspects = Suspects(MarkedCounts(marks, SystemClock()), runners, 3)
    service = asyncio.create_task(suspects.run())
    suspects.take([delivery("a")])
    await marks.written.wait()
    assert suspects.pull("a") is not None
    suspects.take([delivery("b")])
    await runners.got_one.wait()
    assert [held.delivery.envelope.id for held in runners.given] == ["b"]
    service.cancel()


class Gate:
    """A store, or its consumer, of which calls of one method wait until the gate is open."""

    def __init__(self, store: object, method: str) -> None:
        self._store = store
        self._method = method
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        return partial(self._let_in, found) if name == self._method else found

    async def _let_in(self, method: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        self.reached.set()
        await self.open.wait()
        return await method(*args)


class Given:
    """The way to a runner, which only notes what it was given."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.numbers: list[int] = []

    def kill(self) -> None: ...

    def run(self, jobs: Sequence[tuple[int, Delivery]]) -> None:
        self.numbers += [number for number, _ in jobs]
        self.ids += [delivery.envelope.id for _, delivery in jobs]

    async def has(self, *ids: str) -> bool:
        return self.ids == [*ids]


async def turns() -> None:
    """Whatever can happen now has happened then."""
    for _ in range(100):
        await asyncio.sleep(0)


@asynccontextmanager
async def fleet_of(
    runners: int, link: Given, app: Umbel, consumer: Consumer, backend: ResultBackend | None = None
) -> AsyncIterator[tuple[Fleet, Suspects]]:
    """So many ready runners behind this link, and suspects that are counted in the app's broker."""
    assert isinstance(app.broker, MemoryBroker)
    settling = Settling(app.broker, consumer, backend, app.clock)
    fleet = Fleet(app, Holding(), settling, Epitaphs(app, "here", settling), Pace(None), lambda runner: None)
    fleet.suspects = suspects = Suspects(MarkedCounts(app.broker, app.clock), fleet, 3)
    for number in range(runners):
        runner = Runner(number, 0, cast(Link, link), Board.make(), "")
        runner.ready = True
        fleet.add(runner)
    services = [asyncio.create_task(each.run()) for each in (settling, suspects)]
    try:
        yield fleet, suspects
    finally:
        for service in services:
            service.cancel()
        for runner in fleet.runners.values():
            runner.board.close()


@pytest.mark.anyio
async def test_the_next_one_does_not_start_before_the_end_of_the_last_one_is_durable() -> None:
    """It may take the worker down, and the innocent before it would have been started once more for nothing."""
    app = Umbel("t", broker=f"memory://{uuid.uuid4().hex}", set_as_current=False)
    async with app.broker as broker:
        assert isinstance(broker, MemoryBroker)
        await broker.publish([(Route("queue"), Envelope("plain", task_id, b"", b"")) for task_id in "ab"])
        await broker.put_marks([Mark(PREFIX + task_id, "1", app.clock.now() + 60) for task_id in "ab"])
        async with listening(await broker.consume(["queue"], 2)) as ear:
            gate, link = Gate(ear.consumer, "settle"), Given()
            async with fleet_of(2, link, app, cast(Consumer, gate)) as (fleet, suspects):
                suspects.take(await ear.hears(2))
                await until(partial(link.has, "a"))
                (busy,) = [runner for runner in fleet.runners.values() if runner.assigned]
                fleet.receive(busy, "done", [Report(link.numbers[0], ACK)])
                await gate.reached.wait()
                await turns()
                assert link.ids == ["a"]
                gate.open.set()
                await until(partial(link.has, "a", "b"))
                assert await broker.get_marks([PREFIX + "a", PREFIX + "b"]) == {PREFIX + "b": "2"}


@pytest.mark.anyio
@pytest.mark.server
async def test_the_count_of_one_that_the_node_settles_itself_stands_until_its_end_is_durable(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chord that waits for it is told first; a node that dies meanwhile leaves a message whose starts are known."""
    name = uuid.uuid4().hex
    app = Umbel(name, broker=f"memory://{name}", backend=f"{redis.url}?global_keyprefix={name}", set_as_current=False)
    part = Message(task="part", id="a", group="group", group_index=0, links=Links(chord={"task": "body"}))
    async with app.broker as broker, app.backend as backend:
        assert isinstance(broker, MemoryBroker)
        assert isinstance(backend, RedisBackend)
        await backend.expect({"group": 2}, app.clock.now() + 60)
        await broker.publish([(Route("queue"), task_v2.encode(part, broker.form))])
        gate, link = Gate(backend, "join"), Given()
        monkeypatch.setattr(backend, "join", gate.join)
        async with (
            listening(await broker.consume(["queue"], 1)) as ear,
            fleet_of(1, link, app, ear.consumer, backend) as (fleet, suspects),
        ):
            suspects.take(await ear.hears(1))
            await until(partial(link.has, "a"))
            (runner,) = fleet.runners.values()
            ((number, held),) = runner.assigned.items()
            held.certificate, held.certified = Certificate(LOST, "why", bury=True), TRIES
            runner.board.start(number)
            fleet.lost(runner, "died")
            await gate.reached.wait()
            await turns()
            assert await broker.get_marks([PREFIX + "a"]) == {PREFIX + "a": "1"}
            gate.open.set()

            async def is_forgotten() -> bool:
                return not await broker.get_marks([PREFIX + "a"])

            await until(is_forgotten)
            assert [letter.id for letter in app.dead.list()] == ["a"]
