"""Takes messages back that wait on a Redis server, by reading the queues through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from json.encoder import encode_basestring_ascii as quoted

from umbel.model import Envelope, SealedRecord
from umbel.stores.redis.link import Script
from umbel.stores.redis.store import PARKED_HEAD, RedisStore, Taken
from umbel.wire.kombu import told_by

_FIND = Script("find")
_AT_ONCE = 200
"""Entries that one script looks at, so that nobody waits long for the server."""

_FEW = 10
"""So many ids are looked for by the server; for more of them the entries are read here."""


async def withdraw(
    store: RedisStore,
    ids: Sequence[str],
    records_of: Callable[[Envelope], Sequence[SealedRecord] | None],
    now: float,
) -> list[SealedRecord]:
    """See ``ports.Withdraws``. What comes to wait meanwhile may be missed."""
    if not ids:
        return []
    wanted = frozenset(ids)
    records: list[SealedRecord] = []
    for queue in sorted(name.decode() for name in await store.link.ask("SMEMBERS", store.layout.queues)):
        *lists, due = store.keys(queue)
        for key in (*lists, due):
            taken: list[Taken] = []
            async for entry in _found(store, key, wanted):
                head = entry[PARKED_HEAD:] if key == due else entry
                id = told_by(head).id
                own = records_of(Envelope("kombu", id, head, b"")) if id in wanted else None
                if own is not None:
                    taken.append(Taken(key, entry, own))
            if taken:
                records += await store.take_back(queue, taken, now)
    return records


async def _found(store: RedisStore, key: str, ids: Collection[str]) -> AsyncIterator[bytes]:
    """The entries that may be of these tasks.

    It goes away from where messages are handed out: what leaves there does not move those that are still to be read.
    """
    parts = [quoted(id) for id in ids] if len(ids) <= _FEW else ['"']
    at = 0
    while True:
        count, *entries = await store.link.run(_FIND, [key], [at, at + _AT_ONCE - 1, *parts])
        for entry in entries:
            yield entry
        if count < _AT_ONCE:
            return
        at += _AT_ONCE
