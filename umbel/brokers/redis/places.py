"""Tells how many messages stand before one that waits on a Redis server, by reading the queues from their beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted

from umbel.stores.redis.connection import Word
from umbel.stores.redis.link import Script
from umbel.stores.redis.store import RedisStore
from umbel.tracking import MOST_AHEAD

_PLACE = Script("place")
_AT_ONCE = 500
"""Entries that one script looks at, so that nobody waits long for the server."""


async def places(store: RedisStore, ids: Sequence[str]) -> Mapping[str, int]:
    """See ``tracking.Places``. Of each queue so many messages are looked at; what stands behind them is left out."""
    found: dict[str, int] = {}
    missing = dict.fromkeys(ids)
    names = sorted(await store.names()) if missing else []
    for name in names:
        ahead = 0
        for key in store.layout.lists(name):
            ahead += await _look(store, key, ahead, missing, found)
            if ahead >= MOST_AHEAD or not missing:
                break
        if not missing:
            break
    return found


async def _look(store: RedisStore, key: str, ahead: int, missing: dict[str, None], found: dict[str, int]) -> int:
    """Move what is in this list from ``missing`` to ``found``; gives how many messages were looked at."""
    at = 0
    while missing and ahead + at < MOST_AHEAD:
        wanted = list(missing)
        most = min(_AT_ONCE, MOST_AHEAD - ahead - at)
        args: list[Word] = [at, most, *(quoted(id)[1:-1] for id in wanted)]
        count, *told = await store.link.run(_PLACE, [key], args)
        for number, place in zip(told[::2], told[1::2], strict=True):
            found[wanted[number]] = ahead + place
            missing.pop(wanted[number], None)
        at += count
        if count < most:
            break
    return at
