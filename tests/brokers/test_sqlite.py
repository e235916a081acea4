"""The SQLite broker against the broker suites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.ports import Broker, ResultBackend
from umbel.stores.sqlite import checkpointing, locks, lookout, presence, reaper
from umbel.stores.sqlite.ear import Blind
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


class TestSqliteConsumerThatHearsNothing(OnSqlite, ConsumerConformance):
    """As on a system that does not tell of writes: there the file is looked at instead."""

    @pytest.fixture(autouse=True)
    def blind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lookout, "ear_on", lambda path: Blind())


class TestSqliteConsumerWithoutFileLocks(OnSqlite, ConsumerConformance):
    """As on a system without POSIX locks: there rows that are renewed prove that a node lives."""

    @pytest.fixture(autouse=True)
    def lockless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (checkpointing, locks, presence, reaper):
            monkeypatch.setattr(module, "HAVE_LOCKS", False)


class TestSqliteKeeping(OnSqlite, KeepingConformance):
    @pytest.fixture
    def make_backend(self, url: str) -> Callable[[], ResultBackend]:
        return lambda: SqliteBackend(url, {})

    @pytest.fixture
    def stranger(self, tmp_path: Path) -> ResultBackend:
        return SqliteBackend(f"sqlite:///{tmp_path}/other.db", {})
