"""The project that the commands are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A folder with an app in tasks.py, on the embedded broker."""
    return Project(tmp_path)
