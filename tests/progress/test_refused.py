"""Tests of a store that takes no progress, beside tasks that tell of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from tests.worker.process import wait_until
from umbel import Umbel, progress, track
from umbel.errors import StoreUnreachable
from umbel.stores.memory_progress import OffersProgress
from umbel.testing import working
from umbel.tracking import Note


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """While it has an item, the store in memory takes no notes; each refusal adds one to its end."""
    reasons = ["away"]
    write = OffersProgress.write_progress

    async def write_progress(self: Any, notes: Sequence[Note]) -> None:
        if reasons:
            reasons.append("refused")
            raise StoreUnreachable("the store is away")
        await write(self, notes)

    monkeypatch.setattr(OffersProgress, "write_progress", write_progress)
    return reasons


def test_no_task_fails_because_progress_cannot_be_written_and_the_last_of_it_arrives(
    refusing: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = Umbel("refused", set_as_current=False)

    @app.task
    def counts(n: int) -> int:
        for _ in track(range(n), unit="things"):
            pass
        return progress.finish(f"{n} things", value=n)

    with caplog.at_level(logging.WARNING), working(app):
        results = [counts.delay(n) for n in range(1, 6)]
        assert [result.get(timeout=60) for result in results] == [1, 2, 3, 4, 5]
        assert "refused" in refusing
        assert "The progress of tasks cannot be written, and is tried again: the store is away" in caplog.text
        assert (results[0].progress.state, results[0].progress.message) == ("SUCCESS", None)
        refusing.clear()
        wait_until(lambda: [result.progress.message for result in results] == [f"{n} things" for n in range(1, 6)])
