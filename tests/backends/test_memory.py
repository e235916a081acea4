"""The memory backend against the backend suite."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from umbel.backends.memory import MemoryBackend
from umbel.ports import ResultBackend
from umbel.testing.conformance.backend import BackendConformance


class TestMemoryBackend(BackendConformance):
    @pytest.fixture
    def make_backend(self) -> Callable[[], ResultBackend]:
        url = f"memory://{uuid.uuid4().hex}"
        return lambda: MemoryBackend(url, {})
