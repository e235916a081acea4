"""Fixtures for tests of tasks, which pytest finds by itself where umbel is installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from umbel.app import Umbel
    from umbel.testing.background import BackgroundWorker
    from umbel.testing.rehearsal import Rehearsal

# Whatever else is needed is imported by the fixture that needs it: this is loaded with every run of pytest.

MARKER = "umbel(**settings): settings of the app while the fixtures umbel_running and umbel_worker have it"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture(scope="session")
def umbel_app(pytestconfig: pytest.Config) -> Umbel:
    """The project's app, found as the command does from the root of the tests; override it to say which."""
    from umbel.errors import AppNotFound
    from umbel.lookup import find_app

    try:
        return find_app(None, cwd=pytestconfig.rootpath, environ=os.environ).app
    except AppNotFound as error:
        pytest.fail(f"{error}\nOr override the fixture umbel_app, so that it returns the app.", pytrace=False)


@pytest.fixture
def umbel_running(request: pytest.FixtureRequest, umbel_app: Umbel) -> Iterator[Rehearsal]:
    """``running(umbel_app)`` around the test, with the settings of its marker ``umbel``."""
    from umbel.testing.rehearsal import running

    with running(umbel_app, **_settings(request)) as t:
        yield t


@pytest.fixture
def umbel_broker_url() -> str | None:
    """Where ``umbel_worker`` has its messages and results, None for memory; override it for a file."""
    return None


@pytest.fixture
def umbel_worker(
    request: pytest.FixtureRequest, umbel_app: Umbel, umbel_broker_url: str | None
) -> Iterator[BackgroundWorker]:
    """``working(umbel_app)`` around the test: a real worker, with the settings of the test's marker ``umbel``."""
    from umbel.testing.background import working

    with working(umbel_app, broker_url=umbel_broker_url, **_settings(request)) as worker:
        yield worker


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Those of the markers, of which the nearest counts."""
    settings: dict[str, Any] = {}
    for marker in request.node.iter_markers("umbel"):
        if marker.args:
            pytest.fail(f"the marker umbel takes settings by name, not {marker.args!r}", pytrace=False)
        settings = {**marker.kwargs, **settings}
    return settings
