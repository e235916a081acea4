"""The optional powers of the brokers and backends that there are, against their suites."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from umbel.backends.memory import MemoryBackend
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.memory import MemoryBroker
from umbel.brokers.sqlite import SqliteBroker
from umbel.ports import ResultBackend
from umbel.stores.sqlite import lookout
from umbel.stores.sqlite.ear import Blind
from umbel.testing.conformance.dead_letters import BurialBroker, DeadLettersConformance
from umbel.testing.conformance.marks import MarksAdapter, MarksConformance
from umbel.testing.conformance.places import PlacesConformance, TellingBroker
from umbel.testing.conformance.progress import ProgressAdapter, ProgressConformance
from umbel.testing.conformance.queues import ListingBroker, QueuesConformance
from umbel.testing.conformance.withdraw import WithdrawConformance, WithdrawingBroker

FORGETFUL = {"dead_letter_expires": 0.5}


@pytest.fixture
def memory_url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/umbel.db"


class TestMarksOfMemoryBroker(MarksConformance):
    @pytest.fixture
    def make_marks(self, memory_url: str) -> Callable[[], MarksAdapter]:
        return lambda: MemoryBroker(memory_url)


class TestMarksOfMemoryBackend(MarksConformance):
    @pytest.fixture
    def make_marks(self, memory_url: str) -> Callable[[], MarksAdapter]:
        return lambda: MemoryBackend(memory_url)


class TestMarksOfSqliteBroker(MarksConformance):
    @pytest.fixture
    def make_marks(self, sqlite_url: str) -> Callable[[], MarksAdapter]:
        return lambda: SqliteBroker(sqlite_url, {})


class TestMarksOfSqliteBackend(MarksConformance):
    @pytest.fixture
    def make_marks(self, sqlite_url: str) -> Callable[[], MarksAdapter]:
        return lambda: SqliteBackend(sqlite_url, {})


class TestMarksOfSqliteThatHearsNothing(TestMarksOfSqliteBroker):
    """As on a system that does not tell of writes: there the file is looked at instead."""

    @pytest.fixture(autouse=True)
    def blind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lookout, "ear_on", lambda path: Blind())


class TestDeadLettersOfMemory(DeadLettersConformance):
    @pytest.fixture
    def make_broker(self, memory_url: str) -> Callable[[], BurialBroker]:
        return lambda: MemoryBroker(memory_url)

    @pytest.fixture
    def make_forgetful(self, memory_url: str) -> Callable[[], BurialBroker]:
        return lambda: MemoryBroker(f"{memory_url}-forgetful", FORGETFUL)


class TestDeadLettersOfSqlite(DeadLettersConformance):
    @pytest.fixture
    def make_broker(self, sqlite_url: str) -> Callable[[], BurialBroker]:
        return lambda: SqliteBroker(sqlite_url, {})

    @pytest.fixture
    def make_forgetful(self, sqlite_url: str) -> Callable[[], BurialBroker]:
        return lambda: SqliteBroker(f"{sqlite_url}-forgetful", FORGETFUL)


class TestQueuesOfMemory(QueuesConformance):
    @pytest.fixture
    def make_broker(self, memory_url: str) -> Callable[[], ListingBroker]:
        return lambda: MemoryBroker(memory_url)


class TestQueuesOfSqlite(QueuesConformance):
    @pytest.fixture
    def make_broker(self, sqlite_url: str) -> Callable[[], ListingBroker]:
        return lambda: SqliteBroker(sqlite_url, {})


class TestWithdrawalFromMemory(WithdrawConformance):
    @pytest.fixture
    def make_broker(self, memory_url: str) -> Callable[[], WithdrawingBroker]:
        return lambda: MemoryBroker(memory_url)

    @pytest.fixture
    def make_backend(self, memory_url: str) -> Callable[[], ResultBackend]:
        return lambda: MemoryBackend(memory_url)


class TestWithdrawalFromSqlite(WithdrawConformance):
    @pytest.fixture
    def make_broker(self, sqlite_url: str) -> Callable[[], WithdrawingBroker]:
        return lambda: SqliteBroker(sqlite_url, {})

    @pytest.fixture
    def make_backend(self, sqlite_url: str) -> Callable[[], ResultBackend]:
        return lambda: SqliteBackend(sqlite_url, {})


class TestProgressOfMemoryBroker(ProgressConformance):
    @pytest.fixture
    def make_progress(self, memory_url: str) -> Callable[[], ProgressAdapter]:
        return lambda: MemoryBroker(memory_url)


class TestProgressOfMemoryBackend(ProgressConformance):
    @pytest.fixture
    def make_progress(self, memory_url: str) -> Callable[[], ProgressAdapter]:
        return lambda: MemoryBackend(memory_url)


class TestProgressOfSqliteBroker(ProgressConformance):
    @pytest.fixture
    def make_progress(self, sqlite_url: str) -> Callable[[], ProgressAdapter]:
        return lambda: SqliteBroker(sqlite_url, {})


class TestProgressOfSqliteBackend(ProgressConformance):
    @pytest.fixture
    def make_progress(self, sqlite_url: str) -> Callable[[], ProgressAdapter]:
        return lambda: SqliteBackend(sqlite_url, {})


class TestProgressOfSqliteThatHearsNothing(TestProgressOfSqliteBroker):
    """As on systems without inotify."""

    @pytest.fixture(autouse=True)
    def deaf(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lookout, "ear_on", lambda path: Blind())


class TestPlacesOnMemory(PlacesConformance):
    @pytest.fixture
    def make_broker(self, memory_url: str) -> Callable[[], TellingBroker]:
        return lambda: MemoryBroker(memory_url)


class TestPlacesOnSqlite(PlacesConformance):
    @pytest.fixture
    def make_broker(self, sqlite_url: str) -> Callable[[], TellingBroker]:
        return lambda: SqliteBroker(sqlite_url, {})
