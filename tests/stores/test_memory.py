"""The memory store: what the ports do not speak of."""

from __future__ import annotations

import gc
import os
import threading
import uuid

import pytest

from umbel.clock import SystemClock
from umbel.errors import ConfigurationError
from umbel.model import ACK, Envelope, Queue, Route, SealedRecord, Settlement, dead, later
from umbel.stores.declaring import declared
from umbel.stores.memory import Holder, MemoryStore, name_of


def envelope(body: bytes = b"body") -> Envelope:
    return Envelope("plain", str(uuid.uuid4()), b"head", body)


class HandClock(SystemClock):
    """A wall clock turned by hand."""

    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        return self.time


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore.named(uuid.uuid4().hex)


@pytest.mark.parametrize(("url", "name"), [("memory://", ""), ("memory://shop", "shop"), ("memory://a%20b", "a b")])
def test_the_name_is_what_follows_the_scheme(url: str, name: str) -> None:
    assert name_of(url) == name


@pytest.mark.parametrize("url", ["memory://a/b", "memory://a?size=3", "sqlite:///a", "memory://[a"])
def test_a_url_that_says_more_than_a_name_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="memory://name"):
        name_of(url)


def test_what_a_queue_declares_beyond_its_name_is_said_to_mean_nothing(caplog: pytest.LogCaptureFixture) -> None:
    declared(Queue("mail", exchange="e", max_priority=5))
    assert caplog.records == []
    declared(Queue("mail", arguments={"x-max-length": 5, "x-a": 1}))
    assert caplog.messages == ["queue mail: its arguments (x-a, x-max-length) mean nothing to this broker"]


def test_a_password_in_a_url_that_is_refused_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as refused:
        name_of("memory://user:s3cret@host/a")
    assert "s3cret" not in str(refused.value)


def test_a_name_is_one_store_as_long_as_somebody_uses_it() -> None:
    name = uuid.uuid4().hex
    store = MemoryStore.named(name)
    store.publish([(Route("q"), envelope())])
    assert MemoryStore.named(name) is store
    del store
    gc.collect()
    assert MemoryStore.named(name).size("q") == 0


def test_dead_letters_keep_the_original_bytes_and_the_reason(store: MemoryStore) -> None:
    letter = envelope(b"\x00poison")
    store.publish([(Route("q", priority=3), letter)])
    holder = Holder(("q",))
    store.settle(holder, [Settlement(d, dead("it kills its process")) for d in store.claim(holder, 5)])
    (kept,) = store.dead.after(0, 10)
    assert (kept.envelope, kept.reason, kept.queue, kept.priority) == (letter, "it kills its process", "q", 3)
    assert store.dead.after(kept.number, 10) == []


def test_a_clock_turned_by_hand_rules_dues_and_expiries(store: MemoryStore) -> None:
    clock = HandClock(1000.0)
    store.use_clock(clock)
    store.publish([(Route("q", due=1500.0), envelope())])
    store.store([SealedRecord("id", "SUCCESS", b"", expires=1500.0)])
    holder = Holder(("q",))
    assert store.claim(holder, 5) == []
    assert store.next_due(("q",)) == 1500.0
    assert set(store.load(["id"])) == {"id"}
    clock.time = 1500.0
    assert len(store.claim(holder, 5)) == 1
    assert store.load(["id"]) == {}


def test_using_a_clock_and_ringing_wake_the_listeners(store: MemoryStore) -> None:
    rung = threading.Event()
    store.listen(rung.set)
    store.use_clock(HandClock(1.0))
    assert rung.is_set()
    rung.clear()
    store.unlisten(rung.set)
    store.ring()
    assert not rung.is_set()


def test_what_is_done_leaves_nothing_behind(store: MemoryStore) -> None:
    clock = HandClock(1000.0)
    store.use_clock(clock)
    holder = Holder(("a", "b"))
    store.publish([(Route("ab"[number % 2], due=1000.0 + number % 3), envelope()) for number in range(50)])
    clock.time = 1100.0
    store.settle(holder, [Settlement(d, later(1200.0)) for d in store.claim(holder, 10)])
    clock.time = 1200.0
    while batch := store.claim(holder, 7):
        records = [SealedRecord(d.envelope.id, "SUCCESS", b"", expires=1300.0) for d in batch]
        store.settle(holder, [Settlement(d, ACK, (), r) for d, r in zip(batch, records, strict=True)])
    clock.time = 1300.0
    store.load([])
    assert (store._ready, store._waiting, store._records, store._expiries, holder.held) == ({}, {}, {}, [], {})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_starts_with_an_empty_store(store: MemoryStore) -> None:
    store.publish([(Route("q"), envelope())])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            empty = store.size("q") == 0
            store.publish([(Route("q"), envelope())])
            status = 0 if empty and store.size("q") == 1 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert store.size("q") == 1


def test_what_waits_is_told_in_the_order_in_which_it_comes_due(store: MemoryStore) -> None:
    store.use_clock(HandClock(1000.0))
    low, high, later, other = (envelope() for _ in range(4))
    assert store.waiting() == []
    store.publish([(Route("b", due=1500.0), later), (Route("b"), low), (Route("b", priority=5), high)])
    store.publish([(Route("a"), other)])
    assert [item.envelope for item in store.waiting()] == [other, high, low, later]
