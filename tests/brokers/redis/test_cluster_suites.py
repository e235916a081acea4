"""A Redis Cluster against the suites of brokers and result stores, and what is said of it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.redis.bare import BareBroker, OnRedis, StampedBackend
from tools.redis_cluster import RedisCluster
from umbel.backends.redis import RedisBackend
from umbel.brokers.redis import RedisBroker
from umbel.model import ACK, Route, SealedRecord
from umbel.ports import Broker, KeepsRecords, ResultBackend
from umbel.testing.conformance.backend import BackendConformance
from umbel.testing.conformance.broker import BrokerConformance
from umbel.testing.conformance.bus import BusAdapter, BusConformance
from umbel.testing.conformance.consumer import ConsumerConformance
from umbel.testing.conformance.dead_letters import BurialBroker, DeadLettersConformance
from umbel.testing.conformance.harness import listening, settle_all, take, to
from umbel.testing.conformance.joins import JoinsAdapter, JoinsConformance
from umbel.testing.conformance.marks import MarksAdapter, MarksConformance
from umbel.testing.conformance.places import PlacesConformance, TellingBroker
from umbel.testing.conformance.progress import ProgressAdapter, ProgressConformance
from umbel.testing.conformance.queues import QueuesConformance
from umbel.testing.conformance.withdraw import WithdrawConformance

pytestmark = pytest.mark.server


@pytest.fixture
def url(redis_cluster: RedisCluster, tmp_path: Path) -> str:
    """A part of the cluster that is this test's own."""
    return f"{redis_cluster.url}?global_keyprefix={tmp_path.name}:"


class OnCluster(OnRedis):
    """For suites of brokers: they are made on the cluster of the run."""

    @pytest.fixture
    def make_broker(self, url: str) -> Callable[[], Any]:
        return lambda: BareBroker(url, {})


class TestBrokerOnCluster(OnCluster, BrokerConformance):
    """One without a priority is as urgent as can be, as on one server."""

    async def test_the_urgent_come_first_and_equals_in_order(self, broker: Broker, queue: str) -> None:
        urgencies = [0, 9, None, 5, 9, 0]
        envelopes = self.numbered(broker, len(urgencies))
        await broker.publish([(Route(queue, priority=p), e) for p, e in zip(urgencies, envelopes, strict=True)])
        deliveries = await take(broker, queue, len(urgencies))
        assert [delivery.envelope for delivery in deliveries] == [envelopes[at] for at in (1, 2, 4, 3, 0, 5)]

    async def test_an_urgent_latecomer_overtakes_what_waits(self, broker: Broker, queue: str) -> None:
        slow, fast = self.numbered(broker, 2)
        async with listening(await broker.consume([queue], 1)) as ear:
            await broker.publish([(Route(queue), self.numbered(broker, 1)[0])])
            first = await ear.hears(1)
            await broker.publish([(Route(queue, priority=3), slow), (Route(queue, priority=6), fast)])
            await settle_all(ear.consumer, first, ACK)
            assert (await ear.hears(2))[1].envelope == fast


class TestConsumerOnCluster(OnCluster, ConsumerConformance):
    async def test_it_leaves_records_to_whoever_has_them(self, broker: Broker, queue: str) -> None:
        consumer = await broker.consume([queue], 1)
        assert not isinstance(consumer, KeepsRecords)
        await consumer.close()


class TestQueuesOnCluster(OnCluster, QueuesConformance):
    pass


class TestDeadLettersOnCluster(OnCluster, DeadLettersConformance):
    @pytest.fixture
    def make_forgetful(self, url: str) -> Callable[[], BurialBroker]:
        return lambda: BareBroker(f"{url}forgetful:", {"dead_letter_expires": 0.5})


class TestPlacesOnCluster(OnCluster, PlacesConformance):
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


class TestWithdrawalOnCluster(OnCluster, WithdrawConformance):
    @pytest.fixture
    def make_backend(self, url: str) -> Callable[[], ResultBackend]:
        return lambda: StampedBackend(url, {})


class TestBusOnCluster(BusConformance):
    @pytest.fixture
    def make_broker(self, url: str) -> Callable[[], BusAdapter]:
        return lambda: RedisBroker(url)


class TestMarksOnCluster(MarksConformance):
    @pytest.fixture
    def make_marks(self, url: str) -> Callable[[], MarksAdapter]:
        return lambda: RedisBackend(url)


class TestProgressOnCluster(ProgressConformance):
    @pytest.fixture
    def make_progress(self, url: str) -> Callable[[], ProgressAdapter]:
        return lambda: RedisBackend(url)


class TestBackendOnCluster(BackendConformance):
    @pytest.fixture
    def make_backend(self, url: str) -> Callable[[], ResultBackend]:
        return lambda: RedisBackend(url, {})

    def as_kept(self, record: SealedRecord) -> SealedRecord:
        return record._replace(expires=None)


class TestJoinsOnCluster(JoinsConformance):
    @pytest.fixture
    def make_backend(self, url: str) -> Callable[[], JoinsAdapter]:
        return lambda: RedisBackend(url)
