"""Tests of how a task stands, from what its worker told, its record and its queue."""

from __future__ import annotations

import json
from typing import Any

from umbel.errors import UserError
from umbel.model import Record
from umbel.progress.snapshot import Children, PublicError, Snapshot, snapshot
from umbel.tracking import Note, Seen
from umbel.wire.notes import write_note


def seen(seq: int = 1, counts: tuple[int, int, int] = (0, 0, 0), **facts: Any) -> Seen:
    return Seen(Note("i", seq, write_note(facts), 9e9), *counts)


def test_a_task_of_which_nothing_is_known_is_pending_with_its_place() -> None:
    assert snapshot("i", None, None, ahead=3) == Snapshot(key="i", ahead=3)
    assert snapshot("i", None, None, ahead=3).facts() == {
        "v": 1,
        "key": "i",
        "seq": 0,
        "state": "PENDING",
        "attempt": 1,
        "ahead": 3,
    }


def test_a_record_says_the_end_also_of_a_task_whose_worker_died() -> None:
    snap = snapshot(
        "0123456789",
        seen(state="PROGRESS", current=1, total=2, percent=50.0, eta=9.0),
        Record(id="i", state="FAILURE", value=RuntimeError("lost")),
    )
    assert (snap.state, snap.final, snap.percent, snap.eta) == ("FAILURE", True, 50.0, None)
    assert snap.error == PublicError("Something went wrong", "456789")
    told = snapshot("i", None, Record(id="i", state="FAILURE", value=UserError("row 11")))
    assert told.error == PublicError("row 11")


def test_an_end_that_the_worker_told_counts_once_the_record_is_there() -> None:
    end = seen(state="SUCCESS", percent=100.0, kept=True)
    early = snapshot("i", end, None)
    assert (early.state, early.final) == ("PROGRESS", False)
    assert snapshot("i", end, Record(id="i", state="SUCCESS")).final
    assert snapshot("i", end, None, alone=True).final
    assert snapshot("i", seen(state="SUCCESS"), None).final


def test_the_worker_knows_better_than_a_record_that_says_little() -> None:
    assert snapshot("i", seen(state="PROGRESS"), Record(id="i", state="STARTED")).state == "PROGRESS"
    assert snapshot("i", seen(state="PROGRESS"), Record(id="i", state="COOKING")).state == "COOKING"
    assert snapshot("i", None, Record(id="i", state="STARTED")).state == "STARTED"


def test_what_a_worker_says_that_tells_nothing_else_is_shown_as_far_as_it_goes() -> None:
    meta = {"current": 3, "total": 10, "status": "Cooking", "mine": object()}
    snap = snapshot("i", None, Record(id="i", state="PROGRESS", value=meta))
    assert (snap.state, snap.current, snap.total, snap.percent, snap.message) == ("PROGRESS", 3, 10, 30.0, "Cooking")
    assert snapshot("i", None, Record(id="i", state="PROGRESS", value=["odd"])).current is None


def test_every_step_of_a_child_gives_another_number() -> None:
    steps = [(0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 0, 1), (1, 1, 0)]
    numbers = [snapshot("i", seen(5, counts, state="PROGRESS"), None).seq for counts in steps]
    assert numbers == sorted(set(numbers))
    assert snapshot("i", seen(6, state="PROGRESS"), None).seq > numbers[-1]
    assert snapshot("i", seen(5, (2, 1, 3), children=10), None).children == Children(10, 2, 1, 3)


def test_what_travels_is_json_and_names_no_task() -> None:
    whole = seen(
        7,
        (1, 0, 0),
        task="shop.secret",
        state="PROGRESS",
        current=1,
        total=3,
        unit="rows",
        percent=33.3,
        stage={"i": 1, "n": None, "label": "Read"},
        log=["a"],
        links=[["x", "/y"]],
        began=1.0,
        updated=3.5,
    )
    facts = snapshot("i", whole, None).facts()
    assert json.loads(json.dumps(facts))["stage"] == {"i": 1, "n": None, "label": "Read"}
    assert facts["elapsed"] == 2.5
    assert "secret" not in json.dumps(facts)
