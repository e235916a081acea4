"""The memory broker against the broker suites."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from umbel.backends.memory import MemoryBackend
from umbel.brokers.memory import MemoryBroker
from umbel.ports import Broker, ResultBackend
from umbel.testing.conformance.broker import BrokerConformance, ImmediateConformance
from umbel.testing.conformance.consumer import ConsumerConformance
from umbel.testing.conformance.keeping import KeepingConformance


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


class OnMemory:
    @pytest.fixture
    def make_broker(self, url: str) -> Callable[[], Broker]:
        return lambda: MemoryBroker(url, {})


class TestMemoryBroker(OnMemory, BrokerConformance):
    pass


class TestMemoryImmediate(OnMemory, ImmediateConformance):
    pass


class TestMemoryConsumer(OnMemory, ConsumerConformance):
    pass


class TestMemoryKeeping(OnMemory, KeepingConformance):
    @pytest.fixture
    def make_backend(self, url: str) -> Callable[[], ResultBackend]:
        return lambda: MemoryBackend(url, {})

    @pytest.fixture
    def stranger(self, url: str) -> ResultBackend:
        return MemoryBackend(f"{url}-other", {})
