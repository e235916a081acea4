"""The shop: a folder, a broker, real workers.

What is marked with ``brokers`` is run on each of those that it names, on servers with the pool of processes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.process import EVERYWHERE, Shop

LEASE = 5
"""Seconds after which what a dead worker held comes back on Redis."""

ON_A_SERVER = (pytest.mark.server, pytest.mark.slow)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("brokers")
    if marker is not None and "shop" in metafunc.fixturenames:
        assert set(marker.args) <= set(EVERYWHERE)
        places = [pytest.param(each, marks=() if each == "sqlite" else ON_A_SERVER) for each in marker.args]
        metafunc.parametrize("shop", places, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What happens within a worker is the same whatever its broker: other pools are tried on SQLite alone."""
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        elsewhere = params.get("shop", "sqlite") != "sqlite" and params.get("pool", "processes") != "processes"
        (left if elsewhere else kept).append(item)
    if left:
        items[:] = kept
        config.hook.pytest_deselected(items=left)


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop of its own for the test; its workers are gone afterwards."""
    broker = getattr(request, "param", "sqlite")
    if broker == "rabbitmq":
        place = Shop(tmp_path, request.getfixturevalue("rabbitmq").url, f"sqlite:///{tmp_path}/results.db")
        place.environ["UMBEL_TASK_DEFAULT_QUEUE"] = place.app.conf.task_default_queue = f"shop-{uuid.uuid4().hex}"
    elif broker == "redis":
        prefix = f"shop-{uuid.uuid4().hex}:"
        url = f"{request.getfixturevalue('redis').url}?global_keyprefix={prefix}&lease={LEASE}"
        place = Shop(tmp_path, url)
    else:
        place = Shop(tmp_path)
    yield place
    place.close()
