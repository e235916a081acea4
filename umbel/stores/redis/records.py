"""Records of tasks on a Redis server, as Celery keeps them there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from umbel.model import FINAL_STATES, SealedRecord
from umbel.stores.redis.store import RedisStore

_STATE = re.compile(rb'\A\{"status": ?"([^"]*)"')
_STATE_IN_YAML = re.compile(rb"\nstatus: ([A-Z]+)")
_AT_ONCE = 500
"""Records that are written in one step, so that nobody waits long for the server."""

_BEGIN, _AROUND = 64, 33


def state_in(payload: bytes) -> str:
    """The state that a record's bytes tell, whoever wrote them; empty where none is seen."""
    found = _STATE.match(payload) or _STATE_IN_YAML.search(payload)
    if found is not None:
        return found[1].decode("utf-8", "replace")
    at = payload.find(b"status", 0, _BEGIN)
    near = payload[at + 5 : at + 5 + _AROUND] if at >= 0 else b""
    return next((state for state in ("SUCCESS", "FAILURE", "REVOKED") if state.encode() in near), "")


class Records:
    """The records of one store; ``now()`` is the unix time."""

    def __init__(self, store: RedisStore, now: Callable[[], float]) -> None:
        self._store = store
        self._now = now

    async def store(self, records: Sequence[SealedRecord]) -> None:
        """See ``ports.ResultBackend``; each is a step of its own."""
        for at in range(0, len(records), _AT_ONCE):
            await self._store.write(records[at : at + _AT_ONCE], self._now())

    async def load(self, ids: Iterable[str]) -> dict[str, SealedRecord]:
        """The records of these ids. When they expire is not told."""
        wanted = list(dict.fromkeys(ids))
        found: dict[str, SealedRecord] = {}
        layout = self._store.layout
        for at in range(0, len(wanted), _AT_ONCE):
            some = wanted[at : at + _AT_ONCE]
            values = await self._store.link.values([(layout.record(id), layout.side(id)) for id in some])
            for id, payload, side in zip(some, values[::2], values[1::2], strict=True):
                if payload is not None:
                    found[id] = told(id, payload, side)
        return found

    async def forget(self, ids: Sequence[str]) -> None:
        """Drop these records, and what is known beside them."""
        layout = self._store.layout
        for at in range(0, len(ids), _AT_ONCE):
            some = ids[at : at + _AT_ONCE]
            await self._store.link.drop([(layout.record(id), layout.side(id)) for id in some])


def told(id: str, payload: bytes, side: bytes | None) -> SealedRecord:
    """The record; ``side`` says of it what its bytes do not."""
    life, _, state = (side or b"").decode("utf-8", "replace").partition(" ")
    return SealedRecord(id, state or state_in(payload), payload, None, int(life) if life.isdigit() else 0)


class Watch:
    """What was heard of some records and was not told yet. ``ring()`` is called when there is news.

    Hears payloads by the channel's name; of several that came close together the last counts.
    """

    def __init__(self, ids: Iterable[str], ring: Callable[[], None]) -> None:
        self.pending = dict.fromkeys(ids)
        """Those that have not come to their end, in order."""
        self.unsure: set[str] = set()
        """Those of them of which a record must be read."""
        self._ring = ring
        self._heard: dict[str, bytes] = {}
        self._seen: dict[str, SealedRecord] = {}

    @property
    def stirred(self) -> bool:
        """Whether something was heard since the last look."""
        return bool(self._heard or self.unsure)

    def ear(self, id: str) -> Callable[[bytes | None], None]:
        """What is to be called with what is published of this id."""

        def hear(payload: bytes | None) -> None:
            if payload is None:
                self.unsure.add(id)
            else:
                self._heard[id] = payload
            self._ring()

        return hear

    def take(self) -> list[SealedRecord]:
        """What was heard; some of it may have to be read first (``unsure``)."""
        heard, self._heard = self._heard, {}
        records = []
        for id, payload in heard.items():
            state = state_in(payload)
            known = self._seen.get(id)
            if not state:
                self.unsure.add(id)
            else:
                records.append(SealedRecord(id, state, payload, None, known.life if known else 0))
        return records

    def news(self, records: Iterable[SealedRecord]) -> list[SealedRecord]:
        """Those of these that were not told; the ends among them are noted."""
        fresh = []
        for record in records:
            if record.id in self.pending and self._seen.get(record.id) != record:
                self._seen[record.id] = record
                fresh.append(record)
                if record.state in FINAL_STATES:
                    del self.pending[record.id]
        return fresh
