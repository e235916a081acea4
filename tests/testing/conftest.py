"""An app of a shop, whose broker nobody may touch."""

from __future__ import annotations

from pathlib import Path

import pytest

from umbel.app import Umbel


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the app's own broker would keep its messages."""
    return tmp_path / "own" / "shop.db"


@pytest.fixture
def app(file: Path) -> Umbel:
    """An app with a broker of its own."""
    return Umbel("shop", broker=f"sqlite:///{file}", set_as_current=False)
