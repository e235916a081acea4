"""Takes messages back that nobody has claimed, by their ids."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from umbel.model import Envelope, SealedRecord
from umbel.stores.sqlite.statements import statements

if TYPE_CHECKING:
    from umbel.stores.sqlite.store import SqliteStore

WITHDRAW = statements("withdraw.sql")


def withdraw(
    store: SqliteStore, ids: Sequence[str], records_of: Callable[[Envelope], Sequence[SealedRecord] | None]
) -> list[SealedRecord]:
    """As ``Withdraws.withdraw``; the records are written into this store.

    There is no index on ids (see docs/decisions/0015): the messages are read through, 0.3 s for a million of them,
    before the write lock is taken. Raises ``StoreError``; then nothing was changed.
    """
    wanted = json.dumps(list(dict.fromkeys(ids)))
    found = store.read(lambda connection: connection.execute(WITHDRAW["find"], (wanted,)).fetchall()) if ids else []
    if not found:
        return []

    def work(connection: sqlite3.Connection) -> list[SealedRecord]:
        records: list[SealedRecord] = []
        for each in found:
            # a number may stand for another message by now, and a message may be in somebody's hands
            for number, *row in connection.execute(WITHDRAW["look"], each).fetchall():
                made = records_of(Envelope("plain", *row))
                if made is not None:
                    connection.execute(WITHDRAW["remove"], (number,))
                    records += made
        store.write_records(connection, records)
        return records

    records = store.commit(work)
    store.ring()
    return records
