"""The wrappers that make stores fail: what they do to a call, what they offer, and that a seed means one thing."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from umbel.app import Umbel
from umbel.backends.memory import MemoryBackend
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.amqp import AmqpBroker
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import ConfigurationError, PublishError, StoreBusy, StoreError, UnknownOption
from umbel.model import ACK, Envelope, Queue, Route, SealedRecord
from umbel.ports import Broker, DeadLetters, KeepsRecords, Lifelines, Marks, ResultBackend, Withdraws
from umbel.shortcuts import Immediate, Posts
from umbel.testing.conformance.backend import BackendConformance
from umbel.testing.conformance.broker import BrokerConformance, ImmediateConformance
from umbel.testing.conformance.consumer import ConsumerConformance
from umbel.testing.conformance.harness import listening, settle_all
from umbel.testing.conformance.keeping import KeepingConformance
from umbel.testing.faulty import AFTER, BEFORE, SLOW, Faults, FaultyBackend, FaultyBroker, inject

PAIR = (Route("q"), Envelope("plain", "id", b"head", b"body"))
RECORD = SealedRecord("id", "SUCCESS", b"1")
POWERS = [Immediate, Marks, DeadLetters, Withdraws]


def always(kind: str) -> Faults:
    return Faults(1, 1.0, (kind,), pause=0.001)


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


class TestFaults:
    def test_a_seed_means_the_same_every_time(self) -> None:
        first, again, other = (Faults(seed, 0.5) for seed in (1, 1, 2))
        fates = [[faults.next("publish") for _ in range(200)] for faults in (first, again, other)]
        assert fates[0] == fates[1] != fates[2]
        assert {fate.kind for fate in fates[0]} == {"none", BEFORE, AFTER, SLOW}

    def test_what_other_methods_and_threads_do_changes_nothing(self) -> None:
        alone, beside = Faults(3, 0.5), Faults(3, 0.5)
        threads = [threading.Thread(target=lambda: [beside.next("load") for _ in range(200)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        fates = [beside.next("publish") for _ in range(200)]
        for thread in threads:
            thread.join()
        assert fates == [alone.next("publish") for _ in range(200)]
        assert beside.calls == {"publish": 200, "load": 600}

    def test_the_rate_is_kept(self) -> None:
        faults = Faults(4, 0.1)
        for _ in range(2000):
            faults.next("publish")
        assert 150 < sum(faults.struck.values()) < 250

    def test_while_it_is_stopped_nothing_fails(self) -> None:
        faults = always(BEFORE)
        faults.stop()
        assert faults.next("publish").kind == "none"
        faults.resume()
        assert faults.next("publish").kind == BEFORE

    @pytest.mark.parametrize("options", [{"rate": -0.1}, {"rate": 1.1}, {"rate": float("nan")}])
    def test_a_rate_that_is_none_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match="rate is a share"):
            Faults(1, **options)

    def test_a_pause_that_is_none_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="pause is a number of seconds"):
            Faults(1, 0.1, pause=-1)

    def test_an_unknown_kind_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(UnknownOption, match="did you mean 'before'"):
            Faults(1, 0.1, ("befor",))


class TestCalls:
    async def test_before_nothing_took_effect(self, url: str) -> None:
        plain = MemoryBroker(url)
        with pytest.raises(StoreError, match="publish fails by design, before it took effect"):
            await FaultyBroker(plain, always(BEFORE)).publish([PAIR])
        assert await plain.size("q") == 0

    async def test_after_it_took_effect(self, url: str) -> None:
        plain = MemoryBroker(url)
        with pytest.raises(StoreError, match="after it took effect"):
            await FaultyBroker(plain, always(AFTER)).publish([PAIR])
        assert await plain.size("q") == 1

    async def test_a_slow_call_takes_effect(self, url: str) -> None:
        async with FaultyBroker(MemoryBroker(url), always(SLOW)) as broker:
            await broker.declare(Queue("q"))
            await broker.publish([PAIR])
            assert await broker.purge("q") == 1
            assert broker.faults.struck["publish", SLOW] == 1

    def test_an_immediate_call_fails_in_the_callers_thread(self, url: str) -> None:
        plain = MemoryBroker(url)
        for kind, size in ((BEFORE, 0), (AFTER, 1)):
            broker = FaultyBroker(plain, always(kind))
            assert isinstance(broker, Immediate)
            with pytest.raises(StoreError):
                broker.publish_now([PAIR])
            assert plain.keeper.size("q") == size

    async def test_a_settlement_fails_on_either_side_and_can_be_repeated(self, url: str) -> None:
        broker = FaultyBroker(MemoryBroker(url), always(SLOW))
        await broker.publish([PAIR, PAIR])
        async with listening(await broker.consume(["q"], 2)) as ear:
            held = await ear.hears(2)
            for kind in (BEFORE, AFTER):
                ear.consumer.faults = always(kind)  # type: ignore[attr-defined]
                with pytest.raises(StoreError):
                    await settle_all(ear.consumer, held, ACK)
            ear.consumer.faults.stop()  # type: ignore[attr-defined]
            await settle_all(ear.consumer, held, ACK)
        assert await broker.inner.size("q") == 0

    async def test_records_fail_on_either_side(self, url: str) -> None:
        plain = MemoryBackend(url)
        with pytest.raises(StoreError):
            await FaultyBackend(plain, always(BEFORE)).store([RECORD])
        assert await plain.load(["id"]) == {}
        with pytest.raises(StoreError):
            await FaultyBackend(plain, always(AFTER)).store([RECORD])
        assert await plain.load(["id"]) == {"id": RECORD}
        for method in ("load", "forget"):
            with pytest.raises(StoreError):
                await getattr(FaultyBackend(plain, always(BEFORE)), method)(["id"])

    async def test_the_error_can_be_chosen(self, url: str) -> None:
        broker = FaultyBroker(MemoryBroker(url), Faults(1, 1.0, (BEFORE,), error=StoreBusy))
        with pytest.raises(StoreBusy):
            await broker.size("q")

    async def test_an_iteration_never_raises(self, url: str) -> None:
        broker = FaultyBroker(MemoryBroker(url), always(BEFORE))
        await broker.inner.publish([PAIR])
        async with listening(await broker.consume(["q"], 1)) as ear:
            await ear.hears(1)
            await ear.consumer.resize(0)
        backend = FaultyBackend(MemoryBackend(url), always(BEFORE))
        await backend.inner.store([RECORD])
        assert [record async for record in backend.watch(["id"])] == [RECORD]


class TestPowers:
    @pytest.mark.parametrize("power", POWERS, ids=lambda power: power.__name__)
    def test_a_wrapper_has_the_powers_of_what_it_wraps_and_no_other(self, power: type, tmp_path: Path) -> None:
        file = f"sqlite:///{tmp_path}/umbel.db"
        brokers: list[Broker] = [MemoryBroker("memory://powers"), SqliteBroker(file, {})]
        backends: list[ResultBackend] = [MemoryBackend("memory://powers"), SqliteBackend(file, {})]
        faults = Faults(1, 0.1)
        for inner in brokers:
            assert isinstance(FaultyBroker(inner, faults), power) == isinstance(inner, power)
        for backend in backends:
            assert isinstance(FaultyBackend(backend, faults), power) == isinstance(backend, power)

    @pytest.mark.parametrize("power", POWERS, ids=lambda power: power.__name__)
    def test_every_method_of_a_power_is_lent(self, power: type) -> None:
        broker: Any = FaultyBroker(Everything(f"memory://{uuid.uuid4().hex}"), always(BEFORE))
        assert isinstance(broker, power)
        for name in methods_of(power):
            assert name in vars(broker), name

    async def test_marks_fail_but_watching_them_goes_on(self) -> None:
        broker: Any = FaultyBroker(Everything(f"memory://{uuid.uuid4().hex}"), always(BEFORE))
        with pytest.raises(StoreError, match="add_to_marks"):
            await broker.add_to_marks(["key"], 1, 0.0)
        assert [marks async for marks in broker.watch_marks("prefix")] == ["prefix"]

    async def test_a_consumer_keeps_its_powers(self, tmp_path: Path, url: str) -> None:
        file = f"sqlite:///{tmp_path}/umbel.db"
        faults = Faults(1, 0.0)
        async with FaultyBroker(SqliteBroker(file, {}), faults) as broker:
            consumer = await broker.consume(["q"], 1)
            assert isinstance(consumer, Lifelines)
            assert isinstance(consumer, KeepsRecords)
            own = SqliteBackend(file, {})
            assert consumer.keeps(own)
            assert consumer.keeps(FaultyBackend(own, faults))
            assert not consumer.keeps(MemoryBackend(url))
            await consumer.close()
        consumer = await FaultyBroker(MemoryBroker(url), faults).consume(["q"], 1)
        assert not isinstance(consumer, Lifelines)
        await consumer.close()


class Everything(MemoryBroker):
    """A broker that claims every power: what matters is that the wrapper lends each of their methods."""

    async def nothing(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("a call that fails before it takes effect is not made")

    get_marks = put_marks = put_marks_if_absent = add_to_marks = drop_marks = nothing  # type: ignore[assignment]
    dead_letters = replay = drop_dead_letters = queues = withdraw = nothing  # type: ignore[assignment]

    async def watch_marks(self, prefix: str) -> Any:
        yield prefix


def methods_of(power: type) -> list[str]:
    return [name for name in vars(power) if not name.startswith("_")]


class TestInjection:
    def test_an_app_publishes_through_the_faults(self, url: str) -> None:
        app = Umbel("app", broker=url, set_as_current=False)
        app.send_task("warms.up")
        faults = always(BEFORE)
        inject(app, faults)
        with pytest.raises(PublishError, match="by design"):
            app.send_task("some.task")
        assert faults.struck["publish_now", BEFORE] == 1

    def test_an_app_without_results_gets_a_faulty_broker_alone(self, url: str) -> None:
        app = Umbel("app", broker=url, set_as_current=False, result_backend=None)
        inject(app, always(BEFORE))
        assert isinstance(app.broker, FaultyBroker)


def sluggish(seed: int) -> Faults:
    return Faults(seed, 0.3, (SLOW,), pause=0.002)


class TestSlowBroker(BrokerConformance, ImmediateConformance, ConsumerConformance):
    """A store that is merely slow keeps everything that the port says."""

    @pytest.fixture
    def make_broker(self, url: str) -> Callable[[], Broker]:
        return lambda: FaultyBroker(MemoryBroker(url), sluggish(5))


class TestSlowKeeping(KeepingConformance):
    @pytest.fixture
    def make_broker(self, url: str) -> Callable[[], Broker]:
        return lambda: FaultyBroker(MemoryBroker(url), sluggish(5))

    @pytest.fixture
    def make_backend(self, url: str) -> Callable[[], ResultBackend]:
        return lambda: FaultyBackend(MemoryBackend(url), sluggish(6))

    @pytest.fixture
    def stranger(self, url: str) -> ResultBackend:
        return FaultyBackend(MemoryBackend(f"{url}-other"), sluggish(7))


class TestSlowBackend(BackendConformance):
    @pytest.fixture
    def make_backend(self, url: str) -> Callable[[], ResultBackend]:
        return lambda: FaultyBackend(MemoryBackend(url), sluggish(6))


def test_what_would_go_past_the_faults_is_not_offered() -> None:
    broker = AmqpBroker("amqp://")
    assert isinstance(broker, Posts)
    assert not isinstance(FaultyBroker(broker, always(BEFORE)), Posts)


async def test_a_watch_that_is_left_lets_go_of_what_it_holds(tmp_path: Path) -> None:
    inner = SqliteBackend(f"sqlite:///{tmp_path}/umbel.db", {})
    backend = FaultyBackend(inner, Faults(1, 0.0))
    await backend.store([SealedRecord("id", "STARTED", b"")])
    steps: Any = backend.watch(["id"])
    await anext(steps)
    assert inner.keeper.watcher._watches
    await steps.aclose()
    assert not inner.keeper.watcher._watches
