"""A file that an older version has made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.stores.sqlite.conftest import messages, query
from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.model import Envelope, SealedRecord
from umbel.ports import Mark
from umbel.stores.sqlite import schema
from umbel.stores.sqlite.statements import script, statements
from umbel.testing.conformance.harness import take

OLD = """
INSERT INTO messages (queue, priority, claim, id, head, body) VALUES ('q', 3, 1073741824, 'ready', x'00', x'ff');
INSERT INTO messages (queue, priority, claim, due, id, head, body) VALUES ('q', 0, 1073741824, 9e9, 'late', '', '');
INSERT INTO dead (queue, priority, id, head, body, reason, died) VALUES ('q', 1, 'dead', x'01', x'02', 'why', 9e9);
INSERT INTO results (id, state, final, life, payload) VALUES ('done', 'SUCCESS', 1, 0, x'03');
"""


@pytest.fixture
def older(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of an older version, which goes on using the file that it has made."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.executescript(script("schema/0001.sql") + OLD)
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION}")
        connection.execute("PRAGMA user_version = 1")
        yield connection


def revoked(envelope: Envelope) -> SealedRecord:
    return SealedRecord(envelope.id, "REVOKED", b"")


async def test_it_is_brought_up_to_date_in_place_and_keeps_everything(
    older: sqlite3.Connection, broker: SqliteBroker, url: str
) -> None:
    async with broker, SqliteBackend(url, {}) as backend:
        await broker.put_marks([Mark("a", "1", None)])
        assert await backend.get_marks(["a"]) == {"a": "1"}
        assert query(broker.keeper, "PRAGMA user_version") == [(len(schema.MIGRATIONS),)]
        (letter,) = await broker.dead_letters()
        assert (letter.envelope, letter.reason) == (Envelope("plain", "dead", b"\x01", b"\x02"), "why")
        assert await backend.load(["done"]) == {"done": SealedRecord("done", "SUCCESS", b"\x03")}
        assert await broker.withdraw(["late"], lambda envelope: [revoked(envelope)]) == [
            revoked(Envelope("plain", "late", b"", b""))
        ]
        assert [delivery.envelope.id for delivery in await take(broker, "q", 1)] == ["ready"]


async def test_a_process_of_the_older_version_can_go_on(older: sqlite3.Connection, broker: SqliteBroker) -> None:
    broker.publish_now(messages(1))
    older.execute(statements("messages.sql")["publish"], ("q", 9, None, "from the older", b"", b""))
    async with broker:
        first, *_ = await take(broker, "q", 3)
    assert first.envelope.id == "from the older"
