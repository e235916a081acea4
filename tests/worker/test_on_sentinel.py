"""A real worker whose Redis server is replaced by its replica."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.process import Shop, wait_until
from tools.redis_sentinel import Watched
from umbel.errors import PublishError
from umbel.result import AsyncResult

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path / "watched")
    made.start()
    yield made
    made.close()


@pytest.fixture
def shop(tmp_path: Path, watched: Watched) -> Iterator[Shop]:
    (tmp_path / "shop").mkdir()
    made = Shop(tmp_path / "shop", watched.url)
    yield made
    made.close()


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "made a replica"])
def test_what_was_accepted_and_what_runs_survives_a_failover_and_runs_once(
    shop: Shop, watched: Watched, kill: bool
) -> None:
    shop.worker("-c", "1")
    held = shop.send("hold", "a")
    shop.wait_for_note("start a")
    waiting = [shop.send("add", n, n) for n in range(20)]
    watched.caught_up()
    watched.fail_over(kill=kill)
    sent: list[AsyncResult[int]] = []

    def is_sent() -> bool:
        try:
            sent.append(shop.send("add", 100, 1))
        except PublishError:
            return False
        return True

    wait_until(is_sent)
    shop.go()
    assert shop.get(held) == "a"
    assert [shop.get(result) for result in waiting] == [2 * n for n in range(20)]
    assert shop.get(sent[-1]) == 101
    assert shop.count("start a") == 1
    wait_until(lambda: watched.replica.command("HLEN", "unacked") == "0")
