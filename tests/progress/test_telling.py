"""Tests of what people are told on a terminal, and elsewhere."""

from __future__ import annotations

import io
import sys
import threading

import pytest

from umbel import Umbel
from umbel.errors import TimeoutError, UmbelError
from umbel.progress.snapshot import Children, Snapshot, Stage
from umbel.progress.telling import has_progress, percent_of, seconds_of, words_of
from umbel.testing import working


def test_words_say_all_that_is_known_in_one_line() -> None:
    snap = Snapshot(
        key="i",
        state="PROGRESS",
        percent=42.0,
        current=4200,
        total=10000,
        unit="rows",
        eta=25.0,
        stage=Stage(2, 3, "Import"),
        message="Reading\nthe file",
        cancelling=True,
    )
    assert (
        words_of(snap) == "stopping · 42 % · 4,200/10,000 rows · about 25 s left · Import (2 of 3) · Reading the file"
    )
    retry = Snapshot(key="i", state="RETRY", attempt=2, attempts=5, children=Children(5, 2, 1, 1))
    assert words_of(retry) == "attempt 2 of 5 follows · 2 of 5 done, 1 running, 1 failed"
    assert has_progress(snap)
    assert not has_progress(Snapshot(key="i", state="STARTED"))


def test_a_task_that_says_nothing_is_measured_by_its_usual_time_and_never_full() -> None:
    quiet = Snapshot(key="i", state="STARTED", usual=40.0, elapsed=10.0)
    assert (percent_of(quiet), words_of(quiet)) == (25.0, "usually takes about 40 s")
    assert percent_of(Snapshot(key="i", usual=40.0, elapsed=400.0)) == 95.0
    assert percent_of(Snapshot(key="i")) is None


def test_times_are_told_as_people_do() -> None:
    assert [seconds_of(each) for each in (7.2, 59.4, 90, 3900)] == ["7 s", "59 s", "2 min", "1 h 5 min"]


class Heard(io.StringIO):
    """Standard error that tells when a word was written to it."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word
        self.written = threading.Event()

    def write(self, text: str) -> int:
        if self._word in text:
            self.written.set()
        return super().write(text)


def test_following_gives_what_the_task_returned_and_says_how_it_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Umbel("followed", broker="memory://", set_as_current=False)
    heard = Heard("PROGRESS 0 % · 0/10 steps · Walking\n")
    monkeypatch.setattr(sys, "stderr", heard)

    @app.task(bind=True)
    def steps(self, n: int) -> int:  # type: ignore[no-untyped-def]
        for _ in self.track(range(n), unit="steps", message="Walking"):
            assert heard.written.wait(60)
        return n

    @app.task
    def waits_for_ever() -> None: ...

    with working(app):
        assert steps.delay(10).follow(timeout=60) == 10
    with pytest.raises(TimeoutError, match=r"within 0.01 s \(state PENDING\)"):
        waits_for_ever.delay().follow(timeout=0.01)


async def test_following_on_a_loop_names_what_to_do_instead() -> None:
    app = Umbel("followed-on-a-loop", broker="memory://", set_as_current=False)
    with pytest.raises(UmbelError, match=r"async for … in result.watch\(\)"):
        app.result("some-id").follow()
