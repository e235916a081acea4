"""Publishes to a Redis Cluster: what is for one queue in one step."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from umbel.brokers.redis.outlet import Messages, Outlet, Posting, Told
from umbel.clock import Clock
from umbel.errors import StoreError, StoreUnreachable
from umbel.model import Envelope, Route
from umbel.stores.redis.cluster_store import ClusterStore
from umbel.stores.redis.store import RedisStore

_MOMENT = 1.0
"""Seconds for making a queue known."""


class ClusterOutlet:
    """As ``Outlet``, with one for each queue."""

    def __init__(self, store: ClusterStore, clock: Clock, patience: float) -> None:
        self._store = store
        self._clock = clock
        self._patience = patience
        self._ways: dict[str, tuple[RedisStore, Outlet]] = {}
        self._known: tuple[float, set[str]] = (0.0, set())
        """The queues that were made known, since the newest connection was made."""

    async def publish(self, messages: Messages, failed: StoreError | None = None, *, follow: bool = False) -> None:
        """As ``Outlet.publish``, a step for each queue. Where some were taken and others not, the error says that they
        may have arrived."""
        by_queue: dict[str, list[tuple[Route, Envelope]]] = {}
        for pair in messages:
            by_queue.setdefault(pair[0].queue, []).append(pair)
        if len(by_queue) == 1:
            ((queue, some),) = by_queue.items()
            await self._publish(queue, some, failed, follow)
            return
        sending = [self._publish(queue, some, None, follow) for queue, some in by_queue.items()]
        told = await asyncio.gather(*sending, return_exceptions=True)
        wrong = [each for each in told if isinstance(each, BaseException)]
        if not wrong:
            return
        worst = next((each for each in wrong if getattr(each, "doubtful", False)), wrong[0])
        if len(wrong) == len(told) or not isinstance(worst, StoreError):
            raise worst
        lost = StoreUnreachable(f"{len(wrong)} of {len(told)} queues have not taken their messages: {worst}")
        lost.doubtful = True
        raise lost from worst

    def post(self, messages: Messages, then: Told) -> Callable[[], None]:
        """See ``shortcuts.Posts``."""
        queues = {route.queue for route, _ in messages}
        if len(queues) == 1 and queues <= self._known_now():
            return self.to(*queues)[1].post(messages, then)
        return Posting(self, messages, then).begin()

    async def _publish(self, queue: str, messages: Messages, failed: StoreError | None, follow: bool) -> None:
        if queue not in self._known_now():
            # What is sent next tells what is wrong, or can do without being listed until the next.
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(_MOMENT):
                    await self._store.link.ask_all(self._store.bindings(queue))
                self._known_now().add(queue)
        await self.to(queue)[1].publish(messages, failed, follow=follow)

    def _known_now(self) -> set[str]:
        since = self._store.link.since
        if self._known[0] != since:
            self._known = (since, set())
        return self._known[1]

    def to(self, queue: str) -> tuple[RedisStore, Outlet]:
        """The store of a queue, and the way out to it."""
        known = self._ways.get(queue)
        if known is None:
            store = self._store.of(queue)
            known = self._ways[queue] = (store, Outlet(store, self._clock, self._patience))
        return known
