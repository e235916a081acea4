"""A worker and its clients on a Redis server whose calls fail time and again."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.faults import injecting
from tests.faults.checker import Diary, Ledger, dead_ids
from tests.faults.injecting import COMES_BACK, SENT_APART, SENT_LOOSE
from tests.faults.mill import open_mill
from tests.faults.scenarios import Enter
from tools.redis_server import RedisServer
from umbel.app import Umbel

pytestmark = [pytest.mark.server, pytest.mark.slow]

LAYOUTS = {"one": SENT_LOOSE, "two": SENT_APART}
"""Where results are, and the kinds of which an attempt may be sent twice."""


@pytest.fixture
def make_app(tmp_path: Path, redis: RedisServer) -> Callable[[str], Umbel]:
    """Makes apps that all use the same keys and the same results."""
    prefix = f"injection-{uuid.uuid4().hex}:"

    def make(layout: str) -> Umbel:
        app = Umbel("mill", broker=f"{redis.url}?global_keyprefix={prefix}", set_as_current=False)
        if layout == "two":
            app.conf.result_backend = f"sqlite:///{tmp_path}/results.db"
        return open_mill(app, tmp_path / "diary")

    return make


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(3))
def test_every_promise_holds_while_calls_fail_on_both_sides(
    seed: int, layout: str, make_app: Callable[[str], Umbel], tmp_path: Path, enter: Enter
) -> None:
    watcher = make_app(layout)
    ledger = Ledger(f"Redis, {layout}, seed {seed}", watcher, Diary(tmp_path / "diary"), lambda: dead_ids(watcher))
    injecting.fail_on_both_sides(seed, ledger, partial(make_app, layout), (*LAYOUTS[layout], *COMES_BACK), enter)
