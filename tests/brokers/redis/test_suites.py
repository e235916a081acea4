"""The Redis broker against the suites, on one server and on a cluster, and what is said of it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.redis.bare import BareBroker, OnRedis, StampedBackend
from tools.redis_server import RedisServer
from umbel.backends.redis import RedisBackend
from umbel.brokers.redis import RedisBroker
from umbel.model import ACK, Route
from umbel.ports import Broker, ResultBackend
from umbel.testing.conformance.broker import BrokerConformance
from umbel.testing.conformance.consumer import ConsumerConformance
from umbel.testing.conformance.dead_letters import BurialBroker, DeadLettersConformance
from umbel.testing.conformance.harness import listening, settle_all, take, to
from umbel.testing.conformance.keeping import KeepingConformance
from umbel.testing.conformance.marks import MarksAdapter, MarksConformance
from umbel.testing.conformance.places import PlacesConformance, TellingBroker
from umbel.testing.conformance.progress import ProgressAdapter, ProgressConformance
from umbel.testing.conformance.queues import QueuesConformance
from umbel.testing.conformance.withdraw import WithdrawConformance

pytestmark = pytest.mark.server


class OnAny(OnRedis):
    """For suites of brokers: they are made on the server of the run, and on its cluster."""

    @pytest.fixture
    def make_broker(self, any_redis: str) -> Callable[[], Any]:
        return lambda: BareBroker(any_redis, {})


class TestRedisBroker(OnAny, BrokerConformance):
    """One without a priority is in the list that Celery's clients use, which is the most urgent."""

    async def test_the_urgent_come_first_and_equals_in_order(self, broker: Broker, queue: str) -> None:
        urgencies = [0, 9, None, 5, 9, 0]
        envelopes = self.numbered(broker, len(urgencies))
        await broker.publish([(Route(queue, priority=p), e) for p, e in zip(urgencies, envelopes, strict=True)])
        deliveries = await take(broker, queue, len(urgencies))
        assert [delivery.envelope for delivery in deliveries] == [envelopes[at] for at in (1, 2, 4, 3, 0, 5)]
        assert [delivery.priority for delivery in deliveries] == [9, 9, 9, 5, 0, 0]

    async def test_an_urgent_latecomer_overtakes_what_waits(self, broker: Broker, queue: str) -> None:
        slow, fast = self.numbered(broker, 2)
        async with listening(await broker.consume([queue], 1)) as ear:
            await broker.publish([(Route(queue), self.numbered(broker, 1)[0])])
            first = await ear.hears(1)
            await broker.publish([(Route(queue, priority=3), slow), (Route(queue, priority=6), fast)])
            await settle_all(ear.consumer, first, ACK)
            assert (await ear.hears(2))[1].envelope == fast


class TestRedisConsumer(OnAny, ConsumerConformance):
    pass


class TestQueuesOfRedis(OnAny, QueuesConformance):
    pass


class TestDeadLettersOfRedis(OnAny, DeadLettersConformance):
    @pytest.fixture
    def make_forgetful(self, any_redis: str, tmp_path: Path) -> Callable[[], BurialBroker]:
        url = f"{any_redis.partition('?')[0]}?global_keyprefix={tmp_path.name}:forgetful:"
        return lambda: BareBroker(url, {"dead_letter_expires": 0.5})


class TestKeepingOnRedis(OnRedis, KeepingConformance):
    @pytest.fixture
    def make_backend(self, redis: RedisServer) -> Callable[[], ResultBackend]:
        return lambda: RedisBackend(redis.url, {})

    @pytest.fixture
    def stranger(self, redis: RedisServer) -> ResultBackend:
        return RedisBackend(redis.url.replace("/0", "/1"), {})


class TestMarksOfRedisBroker(MarksConformance):
    @pytest.fixture
    def make_marks(self, redis: RedisServer) -> Callable[[], MarksAdapter]:
        return lambda: RedisBroker(redis.url)


class TestMarksOfRedisBackend(MarksConformance):
    @pytest.fixture
    def make_marks(self, any_redis: str) -> Callable[[], MarksAdapter]:
        return lambda: RedisBackend(any_redis)


class TestProgressOfRedisBroker(ProgressConformance):
    @pytest.fixture
    def make_progress(self, redis: RedisServer) -> Callable[[], ProgressAdapter]:
        return lambda: RedisBroker(redis.url)


class TestProgressOfRedisBackend(ProgressConformance):
    @pytest.fixture
    def make_progress(self, any_redis: str) -> Callable[[], ProgressAdapter]:
        return lambda: RedisBackend(any_redis)


class TestPlacesOnRedis(OnAny, PlacesConformance):
    """One without a priority is as urgent as can be."""

    async def test_those_that_are_handed_out_before_are_counted(self, broker: TellingBroker, queue: str) -> None:
        first, second, later, urgent, bare = self.numbered(broker, 5)
        await broker.publish([(Route(queue, priority=5), first), (Route(queue, priority=4), second)])
        await broker.publish(to(queue, [later], time.time() + 3600))
        await broker.publish([(Route(queue, priority=9), urgent), (Route(queue), bare)])
        await broker.publish(to(f"{queue}.other", self.numbered(broker, 5)))
        asked = [each.id for each in (first, second, later, urgent, bare)]
        assert await broker.places([*asked, "never"]) == {urgent.id: 0, bare.id: 1, first.id: 2, second.id: 3}
        assert await broker.places([]) == {}


class TestWithdrawalFromRedis(OnAny, WithdrawConformance):
    @pytest.fixture
    def make_backend(self, any_redis: str) -> Callable[[], ResultBackend]:
        return lambda: StampedBackend(any_redis, {})
