"""The SQLite broker against the broker suites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.ports import Broker, ResultBackend
from umbel.testing.conformance.broker import BrokerConformance, ImmediateConformance
from umbel.testing.conformance.consumer import ConsumerConformance
from umbel.testing.conformance.keeping import KeepingConformance


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/umbel.db"


class OnSqlite:
    @pytest.fixture
    def make_broker(self, url: str) -> Callable[[], Broker]:
        return lambda: SqliteBroker(url, {})


class TestSqliteBroker(OnSqlite, BrokerConformance):
    pass


class TestSqliteImmediate(OnSqlite, ImmediateConformance):
    pass


class TestSqliteConsumer(OnSqlite, ConsumerConformance):
    pass


class TestSqliteKeeping(OnSqlite, KeepingConformance):
    @pytest.fixture
    def make_backend(self, url: str) -> Callable[[], ResultBackend]:
        return lambda: SqliteBackend(url, {})

    @pytest.fixture
    def stranger(self, tmp_path: Path) -> ResultBackend:
        return SqliteBackend(f"sqlite:///{tmp_path}/other.db", {})
