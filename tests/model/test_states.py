"""Records of random states, lives and expiries in random order: every store holds what the model says."""

from __future__ import annotations

import asyncio
import itertools
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from umbel.backends.memory import MemoryBackend
from umbel.backends.sqlite import SqliteBackend
from umbel.clock import SystemClock
from umbel.model import ACK, Envelope, Route, SealedRecord, Settlement, State, may_replace
from umbel.ports import Broker, KeepsRecords, ResultBackend

STATES = [*(state.value for state in State if state is not State.PENDING), "HALFWAY", "THREE-QUARTERS"]
NAMES = ("a", "b", "c")
LONG_AGO, NOW = -10.0, 1_000_000.0

drafts = st.builds(
    lambda name, state, life, ends: (name, state, life, ends),
    st.sampled_from(NAMES),
    st.sampled_from(STATES),
    st.integers(0, 3),
    st.one_of(st.none(), st.sampled_from([LONG_AGO, 0.0, 5.0, 50.0])),
)
"""A name, a state, a life, and in how many seconds it expires."""

Draft = tuple[str, str, int, float | None]


class HandClock(SystemClock):
    """A clock on the wall that the test turns."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time


class Model:
    """What a store is to hold: one record an id, as long as it has not expired."""

    def __init__(self, records: Mapping[str, SealedRecord] | None = None) -> None:
        self.records = dict(records or {})

    def store(self, batch: Sequence[SealedRecord], now: float) -> None:
        for record in batch:
            old = self.load(now).get(record.id)
            if old is None or may_replace(old.state, old.life, record.state, record.life):
                self.records[record.id] = record

    def load(self, now: float) -> dict[str, SealedRecord]:
        return {id: each for id, each in self.records.items() if each.expires is None or each.expires > now}

    def copy(self) -> Model:
        return Model(self.records)


class Store:
    """A backend, entered, with the clock that it lives by; ``broker`` is the one on the same store."""

    def __init__(self, broker: Broker, backend: ResultBackend, clock: HandClock) -> None:
        self.broker = broker
        self.backend = backend
        self.clock = clock


class Records(RuleBasedStateMachine):
    """Calls of a store beside the model's; ``store`` is set by the test."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.ids = {name: f"{name}-{uuid.uuid4().hex}" for name in NAMES}
        self.numbers = itertools.count()

    @property
    def now(self) -> float:
        return self.store.clock.time

    def record(self, draft: Draft) -> SealedRecord:
        """The draft as a record whose payload no other has."""
        name, state, life, ends = draft
        expires = None if ends is None else self.now + ends
        return SealedRecord(self.ids[name], state, b"%d" % next(self.numbers), expires, life)

    @rule(batch=st.lists(drafts, max_size=5))
    def store_in_one_call(self, batch: list[Draft]) -> None:
        records = [self.record(draft) for draft in batch]
        asyncio.run(self.store.backend.store(records))
        self.model.store(records, self.now)

    @rule(batch=st.lists(drafts, min_size=1, max_size=3))
    def store_with_a_settlement(self, batch: list[Draft]) -> None:
        records = [self.record(draft) for draft in batch]
        asyncio.run(settle(self.store, records))
        self.model.store(records, self.now)

    @rule(calls=st.lists(st.lists(drafts, min_size=1, max_size=2), min_size=2, max_size=3))
    def store_at_the_same_time(self, calls: list[list[Draft]]) -> None:
        """The outcome is that of some order of the calls."""
        batches = [[self.record(draft) for draft in call] for call in calls]
        threads = [
            threading.Thread(target=lambda b=batch: asyncio.run(self.store.backend.store(b))) for batch in batches
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = self.load()
        possible = []
        for order in itertools.permutations(batches):
            model = self.model.copy()
            for batch in order:
                model.store(batch, self.now)
            possible.append(model)
        fitting = [model for model in possible if model.load(self.now) == found]
        assert fitting, f"no order of {batches} after {self.model.records} gives {found}"
        self.model = fitting[0]

    @rule(seconds=st.sampled_from([1.0, 5.0, 30.0, 100.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.store.clock.time += seconds

    @rule(names=st.lists(st.sampled_from(NAMES), max_size=3))
    def forget(self, names: list[str]) -> None:
        asyncio.run(self.store.backend.forget([self.ids[name] for name in names]))
        for name in names:
            self.model.records.pop(self.ids[name], None)

    def load(self) -> dict[str, SealedRecord]:
        return dict(asyncio.run(self.store.backend.load(list(self.ids.values()))))

    @invariant()
    def the_store_holds_what_the_model_says(self) -> None:
        assert self.load() == self.model.load(self.now)


async def settle(store: Store, records: Sequence[SealedRecord]) -> None:
    """Write the records as a worker does: each with the verdict on a delivery, all in one step."""
    queue = f"q-{uuid.uuid4().hex}"
    envelope = Envelope(store.broker.form, "id", b"", b"")
    await store.broker.publish([(Route(queue), envelope)] * len(records))
    consumer = await store.broker.consume([queue], len(records))
    assert isinstance(consumer, KeepsRecords)
    assert consumer.keeps(store.backend)
    try:
        held: list[Any] = []
        async for deliveries in consumer:
            held += deliveries
            if len(held) == len(records):
                break
        await consumer.settle([Settlement(each, ACK, (), record) for each, record in zip(held, records, strict=True)])
    finally:
        await consumer.close()


@contextmanager
def on_memory(folder: Path) -> Iterator[Store]:
    from umbel.brokers.memory import MemoryBroker

    url, clock = f"memory://{uuid.uuid4().hex}", HandClock()
    backend = MemoryBackend(url)
    backend.keeper.use_clock(clock)
    yield Store(MemoryBroker(url), backend, clock)


@contextmanager
def on_sqlite(folder: Path) -> Iterator[Store]:
    from umbel.brokers.sqlite import SqliteBroker

    url, clock = f"sqlite:///{folder}/umbel.db", HandClock()
    backend = SqliteBackend(url, {})
    backend.keeper.clock = clock
    yield Store(SqliteBroker(url, {}), backend, clock)


@pytest.mark.parametrize(
    ("make", "examples", "steps"), [(on_memory, 150, 30), (on_sqlite, 60, 25)], ids=["memory", "sqlite"]
)
def test_every_store_holds_what_the_model_says(
    make: Callable[[Path], Any], examples: int, steps: int, tmp_path: Path
) -> None:
    with make(tmp_path) as store:
        machine = type("OnThisStore", (Records,), {"store": store})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
                derandomize=True,
            ),
        )
