"""Follows what somebody waits for in a store, with one thread for all who wait."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from umbel.errors import StoreBusy, StoreError
from umbel.model import SealedRecord
from umbel.stores.sqlite.access import Access
from umbel.stores.sqlite.lookout import Lookout
from umbel.stores.sqlite.seats import Seat

logger = logging.getLogger("umbel.stores")

SAFETY = 1.0
"""Seconds after which the records are read even if the file seems unchanged."""

SHARE = 0.25
"""The part of its time that the thread may spend reading: with very many ids it looks less often."""

NOTABLE = 0.001
"""Seconds of reading that are not worth a rest."""

LINGER = 5.0
"""Seconds for which the thread waits for the next watch."""

Load = Callable[[sqlite3.Connection, Iterable[str]], dict[str, SealedRecord]]


class Waiting:
    """One caller that waits for news: written by the watcher's thread, which then calls ``ring``."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self.error: StoreError | None = None
        self.ring = ring

    def fail(self, error: StoreError) -> None:
        """There will be no more news."""
        self.error = error
        self.ring()


W = TypeVar("W", bound=Waiting)


class Watch(Waiting):
    """One caller's ids, and the news of them."""

    def __init__(self, ids: Sequence[str], ring: Callable[[], None]) -> None:
        super().__init__(ring)
        self.pending = dict.fromkeys(ids)
        self.news: deque[SealedRecord] = deque()
        self._seen: dict[str, SealedRecord] = {}

    def compare(self, known: dict[str, SealedRecord]) -> None:
        """Take note of what is new among the records known now."""
        fresh = False
        for id in tuple(self.pending):
            record = known.get(id)
            if record is None:
                self._seen.pop(id, None)
            elif record != self._seen.get(id):
                self._seen[id] = record
                self.news.append(record)
                fresh = True
                if record.final:
                    del self.pending[id], self._seen[id]
        if fresh:
            self.ring()

    @property
    def over(self) -> bool:
        """Whether every id has had its final record, and all news was taken."""
        return not self.pending and not self.news


class Watcher(Generic[W]):
    """The watches of one kind on one store in one process. Its thread lives while there are any, and a little longer.

    A kind says how it reads, and how many seconds it rests after that, whatever others write meanwhile.
    """

    name = ""
    what = ""
    rest = 0.0

    def __init__(self, access: Access, seat: Seat) -> None:
        self._access = access
        self._seat = seat
        self._mutex = threading.Lock()
        self._watches: set[W] = set()
        self._joined = False
        self._hurried = False
        self._lookout: Lookout | None = None
        """There is one while the thread lives; ``_mutex`` guards all four."""

    def ring(self) -> None:
        """Say that this process wrote; what others write shows in the file."""
        lookout = self._lookout
        if lookout is not None:
            lookout.ring()

    def join(self, watch: W) -> W:
        """From now on give this one its news, until ``leave``."""
        with self._mutex:
            self._watches.add(watch)
            self._joined = True
            if self._lookout is None:
                self._lookout = Lookout(self._access, self._seat)
                name = f"{self.name} {self._access.path}"
                threading.Thread(target=self._run, args=(self._lookout,), name=name, daemon=True).start()
            self._lookout.ring()
        return watch

    def leave(self, watch: W) -> None:
        """End what ``join`` began; repeatable."""
        with self._mutex:
            self._watches.discard(watch)

    def hurry(self) -> None:
        """If nobody waits, let the thread end and its connection be closed now."""
        with self._mutex:
            if self._lookout is not None and not self._watches:
                self._hurried = True
                self._lookout.ring()

    def _run(self, lookout: Lookout) -> None:
        stale = True
        read_at = left_at = 0.0
        while True:
            watches, joined = self._current()
            now = time.monotonic()
            if watches:
                left_at = now
            elif (self._hurried or now - left_at >= LINGER) and self._retire():
                return
            try:
                stale = lookout.changed() or stale or joined or now - read_at >= SAFETY
                if watches and stale:
                    self._read(watches)
                    stale, read_at = False, now
                    cost = time.monotonic() - now
                    pause = max(self.rest, cost * (1 / SHARE - 1) if cost > NOTABLE else 0.0)
                    if pause:
                        time.sleep(pause)
            except StoreError as error:
                stale = True
                self._refused(watches, error)
            lookout.wait(SAFETY)

    def _current(self) -> tuple[tuple[W, ...], bool]:
        """The watches of now, and whether there are new ones among them."""
        with self._mutex:
            joined, self._joined = self._joined, False
            self._hurried = self._hurried and not self._watches
            return tuple(self._watches), joined

    def _retire(self) -> bool:
        with self._mutex:
            if self._watches:
                return False
            lookout, self._lookout, self._hurried = self._lookout, None, False
        if lookout is not None:
            lookout.close()
        self._seat.close()
        return True

    def _read(self, watches: Sequence[W]) -> None:
        """Give these their news. Raises ``StoreError``."""
        raise NotImplementedError

    def _refused(self, watches: Sequence[W], error: StoreError) -> None:
        if isinstance(error, StoreBusy):
            logger.warning("%s that somebody waits for could not be read yet: %s", self.what, error)
            return
        for watch in watches:
            watch.fail(error)
            self.leave(watch)


class RecordWatcher(Watcher[Watch]):
    """Follows records by their ids; ``load`` reads them, all at once for everybody."""

    name = "umbel-watcher"
    what = "records"

    def __init__(self, access: Access, seat: Seat, load: Load) -> None:
        super().__init__(access, seat)
        self._load = load

    def follow(self, ids: Sequence[str], ring: Callable[[], None]) -> Watch:
        """A watch on these ids, until ``leave``; ``ring`` is called in the watcher's thread."""
        return self.join(Watch(ids, ring))

    def _read(self, watches: Sequence[Watch]) -> None:
        ids = {id for watch in watches for id in watch.pending}
        known = self._access.read(self._seat, lambda connection: self._load(connection, ids))
        for watch in watches:
            watch.compare(known)
