"""The SQLite backend against the backend suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from umbel.backends.sqlite import SqliteBackend
from umbel.ports import ResultBackend
from umbel.testing.conformance.backend import BackendConformance


class TestSqliteBackend(BackendConformance):
    @pytest.fixture
    def make_backend(self, tmp_path: Path) -> Callable[[], ResultBackend]:
        url = f"sqlite:///{tmp_path}/results.db"
        return lambda: SqliteBackend(url, {})
