"""Tests of what a task says of itself, without a worker."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from umbel import Umbel, UserError, progress, track
from umbel.testing import running
from umbel.wire.notes import links_of, number_of, public_error, read_note, text_of, write_note


def test_outside_a_task_all_of_it_does_nothing() -> None:
    progress.set(1, 2, "three")
    progress.advance()
    progress.message("x")
    progress.stages("a", ("b", 2))
    with progress.stage("a"):
        progress.log("x")
    progress.check()
    assert list(track([1, 2])) == [1, 2]
    assert len(track([1, 2])) == 2
    assert progress.finish("well", value=7) == 7
    with pytest.raises(UserError, match="badly"):
        progress.fail("badly")


async def test_outside_a_task_async_for_goes_over_both_kinds() -> None:
    async def some() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert [item async for item in track(some())] == [0, 1, 2]
    assert [item async for item in track([5, 6])] == [5, 6]


async def test_async_for_over_something_plain_lets_others_have_their_turn() -> None:
    ticks = 0

    async def beside() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    job = asyncio.create_task(beside())
    await asyncio.sleep(0)
    before = ticks
    async for _ in track(itertools.count()):
        if ticks > before:
            break
    job.cancel()


def test_in_a_rehearsal_progress_is_there_when_the_task_has_run() -> None:
    app = Umbel("rehearsed", broker="memory://", set_as_current=False)

    @app.task(bind=True)
    def inner_loops(self):  # type: ignore[no-untyped-def]
        for _ in self.track(range(3), unit="outer"):
            for _ in self.track(range(100), unit="inner"):
                pass
        with self.progress.stage("a"), self.progress.stage("b"):
            self.progress.advance(2)
        return self.progress.finish("Done", links=[("Go", "https://example.org/")])

    with running(app) as t:
        result = inner_loops.delay()
        t.drain()
        snap = result.progress
    assert (snap.state, snap.message, snap.percent, snap.final) == ("SUCCESS", "Done", 100.0, True)
    assert snap.links == (("Go", "https://example.org/"),)


def test_of_nested_loops_the_outer_one_counts() -> None:
    app = Umbel("nested", broker="memory://", set_as_current=False)

    @app.task(bind=True, max_retries=0)
    def nested(self):  # type: ignore[no-untyped-def]
        for number in track(range(4), unit="outer"):
            for _ in track(range(100), unit="inner"):
                if number == 3:
                    self.progress.fail("here")

    with running(app) as t:
        result = nested.delay()
        t.drain()
        snap = result.progress
    assert (snap.current, snap.total, snap.unit, snap.percent) == (3, 4, "outer", 75.0)
    assert snap.error is not None
    assert snap.error.text == "here"


@pytest.mark.parametrize("address", ["javascript:alert(1)", "//elsewhere.org", "data:text/html,x", "/\\evil.org", "x"])
def test_a_link_that_could_be_a_program_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must begin with"):
        progress.finish("x", links=[("y", address)])
    assert links_of([("y", "/path"), ("z", "https://x/")]) == [["y", "/path"], ["z", "https://x/"]]


def test_texts_and_numbers_are_such_that_a_note_can_hold_them() -> None:
    assert len(text_of("x" * 9999)) == 500
    assert text_of(7) == "7"
    odd: list[Any] = [True, "3", 2.0, 2.5, None, []]
    assert [number_of(each) for each in odd] == [1, 3, 2, 2.5, None, None]
    assert read_note(write_note({"a": "ü\udcff\0", "b": None})) == {"a": "ü\udcff\0"}
    assert read_note(b"\xff") == read_note(b"[]") == {}


def test_only_what_is_meant_for_end_users_is_shown_to_them() -> None:
    assert public_error(ValueError("secret"), "0123-3f9a21", False) == {"text": "Something went wrong", "ref": "3f9a21"}
    assert public_error(UserError("row 11"), "0123-3f9a21", True) == {"text": "row 11"}
