"""What a turn claims, promotes and clears away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.stores.sqlite.conftest import Act, finish, line, messages, query
from umbel.brokers.sqlite import SqliteBroker
from umbel.clock import SystemClock
from umbel.model import ACK, Envelope, Route, SealedRecord, Settlement, dead
from umbel.stores.sqlite import claims as claiming
from umbel.stores.sqlite import store as stores
from umbel.stores.sqlite.claims import Claims
from umbel.stores.sqlite.store import SqliteStore


class Later(SystemClock):
    """This machine's clock, some seconds on."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def claims(store: SqliteStore) -> Iterator[Claims]:
    claims = Claims(store, ["q"])
    claims.register()
    yield claims
    claims.leave()


def plan(store: SqliteStore, statement: str, *parameters: object) -> str:
    rows = store.read(lambda connection: connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall())
    return "\n".join(str(row[3]) for row in rows)


def test_a_batch_ends_at_its_number_of_bytes_and_the_rest_comes_next(
    broker: SqliteBroker, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "BYTES_AT_ONCE", 2500)
    broker.publish_now([(Route("q"), Envelope("plain", str(n), b"", bytes(1000))) for n in range(7)])
    sizes = []
    while claims.look():
        sizes.append(len(claims.turn([], 100)))
    assert sizes == [3, 3, 1]


def test_a_message_bigger_than_a_batch_comes_alone(
    broker: SqliteBroker, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "BYTES_AT_ONCE", 2500)
    broker.publish_now([(Route("q"), Envelope("plain", str(n), b"", bytes(9000))) for n in range(2)])
    assert [len(claims.turn([], 100)) for _ in range(2)] == [1, 1]


def test_many_that_come_due_at_once_are_made_ready_in_parts(
    broker: SqliteBroker, store: SqliteStore, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "PROMOTED_AT_ONCE", 10)
    clock = store.clock = Later()
    broker.publish_now([(route._replace(due=time.time() + 60), envelope) for route, envelope in messages(35)])
    assert claims.turn([], 100) == []
    assert not claims.look()
    assert 59 < (claims.until_due() or 0) <= 60
    clock.ahead = 61.0
    taken = []
    while claims.look():
        taken.append(len(claims.turn([], 100)))
    assert taken == [10, 10, 10, 5]


def test_queues_share_a_batch_and_leave_nothing_unused(broker: SqliteBroker, store: SqliteStore) -> None:
    for name, count in (("a", 50), ("b", 2), ("c", 50)):
        broker.publish_now([(Route(name), Envelope("plain", f"{name}{n}", b"", b"")) for n in range(count)])
    claims = Claims(store, ["a", "b", "c"])
    claims.register()
    batch = claims.turn([], 30)
    claims.leave()
    counts = {name: sum(delivery.queue == name for delivery in batch) for name in "abc"}
    assert len(batch) == 30
    assert counts["b"] == 2
    assert min(counts["a"], counts["c"]) >= 10


def test_dead_letters_keep_the_original_bytes_and_the_reason(
    broker: SqliteBroker, store: SqliteStore, claims: Claims
) -> None:
    letter = Envelope("plain", "id", b"\x00head", b"\xffpoison")
    broker.publish_now([(Route("q", priority=3), letter)])
    claims.turn([Settlement(delivery, dead("it kills")) for delivery in claims.turn([], 5)], 5)
    (kept,) = store.dead.after(0, 10)
    assert (kept.envelope, kept.reason, kept.queue, kept.priority) == (letter, "it kills", "q", 3)
    assert abs(kept.died - time.time()) < 60
    assert store.dead.after(kept.number, 10) == []


def test_of_two_verdicts_in_one_call_the_first_counts(broker: SqliteBroker, store: SqliteStore, claims: Claims) -> None:
    broker.publish_now(messages(1))
    (held,) = claims.turn([], 5)
    claims.turn([Settlement(held, ACK, messages(1)), Settlement(held, dead("no"), messages(1))], 0)
    assert store.dead.after(0, 10) == []
    assert store.size("q") == 1


def test_a_big_body_is_not_written_again_when_it_is_claimed(
    broker: SqliteBroker, store: SqliteStore, claims: Claims
) -> None:
    broker.publish_now([(Route("q"), Envelope("plain", "big", b"", bytes(4_000_000)))])
    store.checkpoints.run(1)
    assert len(claims.turn([], 5)) == 1
    assert not store.checkpoints.due(100_000), "the log has grown by more than the row's first page"


def test_expired_records_are_deleted_in_parts_by_a_node_and_by_who_stores(
    store: SqliteStore, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "EXPIRY_BATCH", 10)
    clock = store.clock = Later()
    expires = time.time() + 60
    store.store([SealedRecord(str(number), "SUCCESS", b"", expires) for number in range(25)])
    store.store([SealedRecord("kept", "SUCCESS", b"")])
    clock.ahead = 200.0

    def count() -> int:
        return int(query(store, "SELECT count(*) FROM results")[0][0])

    claims.turn([], 5)
    assert count() == 16
    store.store([SealedRecord("new", "SUCCESS", b"")])
    assert count() == 7
    claims.turn([], 5)
    assert count() == 2


def test_what_is_done_leaves_no_rows(broker: SqliteBroker, store: SqliteStore, claims: Claims) -> None:
    broker.publish_now(messages(20))
    claims.turn([Settlement(delivery, ACK) for delivery in claims.turn([], 20)], 20)
    claims.leave()
    tables = ("messages", "dead", "results", "nodes")
    assert [query(store, f"SELECT count(*) FROM {table}")[0][0] for table in tables] == [0, 0, 0, 0]


def test_leaving_can_be_repeated(claims: Claims) -> None:
    claims.leave()
    claims.leave()


@pytest.mark.parametrize(
    ("name", "parameters", "index"),
    [
        ("ready", ("q", 10), "messages_ready"),
        ("any_ready", ("q",), "messages_ready"),
        ("next_due", ("q",), "messages_waiting"),
        ("promote", ("q", 1.0, 10), "messages_waiting"),
        ("standing", (1,), "messages_claimed"),
        ("give_back", (1,), "messages_claimed"),
    ],
)
def test_hot_statements_read_an_index_in_order(
    store: SqliteStore, name: str, parameters: tuple[object, ...], index: str
) -> None:
    steps = plan(store, stores.MESSAGES[name], *parameters)
    assert index in steps
    assert "SCAN messages" not in steps
    assert "TEMP B-TREE" not in steps


def test_expired_records_are_found_by_an_index(store: SqliteStore) -> None:
    assert "results_by_expiry" in plan(store, stores.RECORDS["expire"], 1.0, 10)


def test_a_load_of_many_ids_looks_each_up(store: SqliteStore) -> None:
    assert "SCAN results" not in plan(store, stores.RECORDS["load"], "[]", 1.0)


def test_threads_of_a_process_and_others_publish_without_being_refused(
    broker: SqliteBroker, act: Act, url: str
) -> None:
    others = [act("publish", url, 200) for _ in range(3)]
    for other in others:
        line(other)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for pair in messages(100):
                broker.publish_now([pair])
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sum(len(finish(other)) for other in others) == 3 * 199
    assert broker.keeper.size("q") == 800 + 600
