"""The shop: a folder, a broker file, real workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.process import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop of its own for the test; its workers are gone afterwards."""
    place = Shop(tmp_path)
    yield place
    place.close()
