"""Takes messages back that nobody has claimed, by their ids."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import TYPE_CHECKING

from umbel.model import SealedRecord
from umbel.stores.sqlite.statements import statements

if TYPE_CHECKING:
    from umbel.stores.sqlite.store import SqliteStore

WITHDRAW = statements("withdraw.sql")


def withdraw(store: SqliteStore, records: Sequence[SealedRecord]) -> frozenset[str]:
    """As ``Withdraws.withdraw``; the records are written into this store.

    There is no index on ids (see docs/decisions/0015): the messages are read through, 0.3 s for a million of them,
    before the write lock is taken. Raises ``StoreError``; then nothing was changed.
    """
    known = {record.id: record for record in records}
    ids = json.dumps(list(known))
    found = store.read(lambda connection: connection.execute(WITHDRAW["find"], (ids,)).fetchall()) if known else []
    if not found:
        return frozenset()

    def work(connection: sqlite3.Connection) -> frozenset[str]:
        # a number may stand for another message by now, and a message may be in somebody's hands
        gone = {row[1] for row in found if connection.execute(WITHDRAW["remove"], row).rowcount}
        store.write_records(connection, [known[id] for id in known if id in gone])
        return frozenset(gone)

    removed = store.commit(work, sum(len(record.payload) for record in records))
    store.ring()
    return removed
