"""Follows the progress of tasks for everybody in this process who asks: one watch on the store, one read for all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from umbel import bridge
from umbel.errors import StoreError, WireError
from umbel.model import Record
from umbel.ports import Replies
from umbel.progress.snapshot import Snapshot, snapshot
from umbel.tracking import Places, Progress, Seen, keeper_of
from umbel.wire import results
from umbel.wiring import App

if TYPE_CHECKING:
    from umbel.bridge import Way
    from umbel.stores.bells import LoopBell

logger = logging.getLogger("umbel.progress")

LOOK = 1.0
"""Seconds between two reads of all that is followed, for what nobody tells: ends without a note, places in queues."""

SOON = 0.05
"""Seconds until a task is looked at again whose worker says that it has ended while the store does not yet."""

LINGER = 5.0
"""Seconds for which a hub that nobody uses any more goes on."""

AGAIN = 1.0
"""Seconds until a store that refused is asked again."""


class Subscription:
    """The newest snapshot of each of some tasks, for one reader, whose loop owns it; the hub writes to it."""

    def __init__(self, ids: Iterable[str], bell: LoopBell) -> None:
        self.ids = frozenset(ids)
        self._bell = bell
        self._news: dict[str, Snapshot] = {}

    def give(self, news: Mapping[str, Snapshot]) -> None:
        """From the bridge's thread: these have moved."""
        self._news |= news  # one step of the interpreter for each key; ``take`` swaps the whole
        self._bell.ring()

    def take(self) -> dict[str, Snapshot]:
        """What has moved since this was last asked."""
        news, self._news = self._news, {}
        return news

    async def wait(self, seconds: float | None = None) -> None:
        """Return when there is something to take, or after that time."""
        await self._bell.wait(seconds)


class Hub:
    """The followed tasks of one app. It lives on the bridge's loop, where every method but the last two belongs."""

    def __init__(self, app: App, way: Way) -> None:
        self._app = app
        self._way = way
        self._subscriptions: dict[str, set[Subscription]] = {}
        self._known: dict[str, Snapshot] = {}
        self._work: asyncio.Task[None] | None = None
        self._moved = asyncio.Event()
        self._to_read: set[str] = set()
        self._places_cost = 0.0

    async def read(self, ids: Collection[str]) -> dict[str, Snapshot]:
        """How these stand now; a task of which nothing is known is PENDING. Raises ``StoreError``."""
        app, way, wanted = self._app, self._way, list(ids)
        await way.entered(app.broker)
        backend = None if app.result_url is None else app.backend
        if backend is not None:
            await way.entered(backend)
        store = progress_of(app)
        # records first: the last note of a task is written before its record, so it is there when that is final
        sealed = {} if backend is None else await backend.load(wanted)
        seen: Mapping[str, Seen] = {} if store is None else await store.read_progress(wanted)
        records: dict[str, Record] = {}
        for id, each in sealed.items():
            with contextlib.suppress(WireError):  # whoever asks for the result is told why it cannot be read
                records[id] = results.unseal(each, app.result_content)
        alone = backend is None or isinstance(backend, Replies)
        unknown = [id for id in wanted if id not in records and (id not in seen or seen[id].note is None)]
        places = await self._places(unknown)
        return {
            id: snapshot(id, seen.get(id), records.get(id), ahead=places.get(id), alone=alone and id not in records)
            for id in wanted
        }

    async def _places(self, ids: list[str]) -> Mapping[str, int]:
        broker, loop = self._app.broker, asyncio.get_running_loop()
        if not ids or not isinstance(broker, Places):
            return {}
        if self._places_cost > 0.05:  # a very long queue: it is not read through for every look
            self._places_cost /= 2
            return {}
        began = loop.time()
        places = await broker.places(ids)
        self._places_cost = loop.time() - began
        return places

    async def join(self, subscription: Subscription) -> None:
        """Give it every newer snapshot from now on, the present ones first."""
        for id in subscription.ids:
            self._subscriptions.setdefault(id, set()).add(subscription)
        known = {id: self._known[id] for id in subscription.ids if id in self._known}
        if known:
            subscription.give(known)
        self._to_read |= subscription.ids - known.keys()
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._serve())
        self._moved.set()

    async def leave(self, subscription: Subscription) -> None:
        """End what ``join`` began."""
        for id in subscription.ids:
            others = self._subscriptions.get(id)
            if others is not None:
                others.discard(subscription)
                if not others:
                    del self._subscriptions[id]
                    self._known.pop(id, None)
        self._to_read &= self._subscriptions.keys()

    async def _serve(self) -> None:
        listening = asyncio.create_task(self._listen())
        idle_since: float | None = None
        loop = asyncio.get_running_loop()
        looked = loop.time()
        try:
            while True:
                if self._subscriptions:
                    idle_since = None
                elif idle_since is None:
                    idle_since = loop.time()
                elif loop.time() - idle_since > LINGER:
                    return
                now = loop.time()
                if now - looked >= LOOK:
                    looked = now
                    self._to_read |= {id for id in self._subscriptions if not self._is_final(id)}
                await self._refresh()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), SOON if self._to_read else LOOK)
                self._moved.clear()
        finally:
            listening.cancel()

    def _is_final(self, id: str) -> bool:
        known = self._known.get(id)
        return known is not None and known.final

    async def _refresh(self) -> None:
        ids, self._to_read = self._to_read & self._subscriptions.keys(), set()
        if not ids:
            return
        try:
            fresh = await self.read(ids)
        except StoreError as error:
            logger.warning("The progress of tasks cannot be read, and is tried again: %s", error)
            self._to_read |= ids
            await asyncio.sleep(AGAIN)
            return
        news: dict[Subscription, dict[str, Snapshot]] = {}
        for id, each in fresh.items():
            if each.percent == 100.0 and not each.final:
                self._to_read.add(id)
            if self._known.get(id) == each:
                continue
            self._known[id] = each
            for subscription in self._subscriptions.get(id, ()):
                news.setdefault(subscription, {})[id] = each
        for subscription, batch in news.items():
            subscription.give(batch)

    async def _listen(self) -> None:
        """Read what the store says has moved; where none says so, ``LOOK`` is all there is."""
        while True:
            try:
                await self._way.entered(self._app.broker)
                if self._app.result_url is not None:
                    await self._way.entered(self._app.backend)
                store = progress_of(self._app)
                if store is None:
                    return
                async for moved in store.watch_progress():
                    wanted = self._subscriptions.keys() & moved if moved else set(self._subscriptions)
                    if wanted:
                        self._to_read |= wanted
                        self._moved.set()
            except StoreError as error:
                logger.warning("The progress of tasks cannot be followed, and is tried again: %s", error)
            await asyncio.sleep(AGAIN)

    # -- from any loop and any thread

    def now(self, ids: Collection[str]) -> dict[str, Snapshot]:
        """As ``read``, for plain calls."""
        return self._way.run(self.read(ids))

    @contextlib.asynccontextmanager
    async def following(self, ids: Iterable[str], bell: LoopBell | None = None) -> AsyncIterator[Subscription]:
        """A subscription for the length of the block, for a reader on its own loop, where ``bell`` was made."""
        from umbel.stores.bells import LoopBell

        subscription = Subscription(ids, bell or LoopBell())
        await self._way.cross(self.join(subscription))
        try:
            yield subscription
        finally:
            await asyncio.shield(self._way.cross(self.leave(subscription)))


_hubs: weakref.WeakKeyDictionary[App, tuple[Way, Hub]] = weakref.WeakKeyDictionary()


def hub_of(app: App) -> Hub:
    """The hub of this app on the bridge of this process."""
    way = bridge.get()
    known = _hubs.get(app)
    if known is None or known[0] is not way:
        known = _hubs[app] = (way, Hub(app, way))
    return known[1]


def progress_of(app: App) -> Progress | None:
    """Where this app's workers write how far tasks are."""
    return keeper_of(app.broker, None if app.result_url is None else app.backend)


async def watch(app: App, id: str) -> AsyncIterator[Snapshot]:
    """Snapshots of one task, each newer than the one before, until it has ended."""
    async with hub_of(app).following([id]) as subscription:
        while True:
            for each in subscription.take().values():
                yield each
                if each.final:
                    return
            await subscription.wait()
