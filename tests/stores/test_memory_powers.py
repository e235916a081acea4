"""Marks, dead letters and withdrawal in memory: what the ports do not speak of."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from umbel.clock import SystemClock
from umbel.model import Envelope, Route, SealedRecord, Settlement, dead
from umbel.ports import Mark
from umbel.stores.memory import Holder, MemoryStore
from umbel.stores.memory_marks import ROOM


class HandClock(SystemClock):
    """A wall clock turned by hand."""

    time = 1000.0

    def now(self) -> float:
        return self.time


def store_with(settings: Mapping[str, Any]) -> tuple[MemoryStore, HandClock]:
    store = MemoryStore.named(uuid.uuid4().hex, settings)
    clock = HandClock()
    store.use_clock(clock)
    return store, clock


def bury(store: MemoryStore, *ids: str, queue: str = "q") -> None:
    store.publish([(Route(queue), Envelope("plain", id, b"", b"")) for id in ids])
    holder = Holder((queue,))
    store.settle(holder, [Settlement(held, dead("why not")) for held in store.claim(holder, 1000)])


def kept(store: MemoryStore) -> list[str]:
    return [letter.envelope.id for letter in store.dead.after(0, 1000)]


def test_the_oldest_dead_letters_of_a_queue_go_when_there_are_too_many_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, _ = store_with({"dead_letter_max": 3})
    with caplog.at_level(logging.WARNING, "umbel.stores"):
        bury(store, "a", queue="other")
        bury(store, *(f"{number}" for number in range(6)))
    assert kept(store) == ["a", "3", "4", "5"]
    assert [record.getMessage() for record in caplog.records] == [
        "queue q has more than 3 dead letters (dead_letter_max): the oldest are dropped"
    ]


def test_dead_letters_go_after_thirty_days_unless_they_are_kept_for_ever() -> None:
    store, clock = store_with({})
    for_ever, its_clock = store_with({"dead_letter_expires": None})
    for each in (store, for_ever):
        bury(each, "a")
    clock.time += 29 * 86400
    bury(store, "b", queue="other")
    assert kept(store) == ["a", "b"]
    clock.time += 86400
    its_clock.time += 1000 * 86400
    assert (kept(store), kept(for_ever)) == (["b"], ["a"])


def test_what_was_replayed_or_dropped_leaves_nothing_behind() -> None:
    store, _ = store_with({})
    bury(store, "a", "b")
    first, second = store.dead.after(0, 10)
    assert store.replay([(first.number, first.envelope)]) == 1
    assert store.dead.drop([second.number, second.number]) == 1
    assert store.dead._queues == {}


def test_what_was_withdrawn_leaves_nothing_behind() -> None:
    store, _ = store_with({})
    store.publish(
        [(Route("q"), Envelope("plain", "a", b"", b"")), (Route("p", due=5000.0), Envelope("plain", "b", b"", b""))]
    )
    removed = store.withdraw(["a", "b"], lambda envelope: [SealedRecord(envelope.id, "REVOKED", b"")])
    assert [record.id for record in removed] == ["a", "b"]
    assert (store._ready, store._waiting) == ({}, {})


def test_expired_marks_are_removed_in_time() -> None:
    store, clock = store_with({})
    for number in range(20 * ROOM):
        clock.time += 1
        store.marks.put([Mark(f"{number}", "", clock.time + 10)])
        assert len(store.marks._marks) <= 3 * ROOM
    store.marks.put([Mark("for ever", "", None)])
    clock.time += 1000
    store.marks.put(Mark(f"late {number}", "", clock.time + 10) for number in range(3 * ROOM))
    assert store.marks.get(["for ever"]) == {"for ever": ""}
    assert len(store.marks._marks) == 3 * ROOM + 1
