"""Takes messages to a broker that is reached over the bridge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from umbel.defaults import Defaults
from umbel.model import Envelope, Route
from umbel.wiring import App

if TYPE_CHECKING:
    from umbel.posting import Post


class Crossing:
    """An app's way over this process's bridge. Thread-safe; survives a fork."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._post: Post | None = None
        """The way of this process to the broker that it last used."""

    def reached(self, defaults: Defaults) -> Post | None:
        """The way on which calls share writes, where the broker and this moment have it."""
        if not defaults.posts:
            return None
        from umbel import bridge, posting

        way = bridge.get()
        post = self._post
        if post is None or post.bridge is not way or post.broker is not defaults.broker:
            if not isinstance(way, bridge.Bridge):
                return None
            backend = self._app.backend if defaults.replies is not None else None
            post = self._post = posting.Post(way, defaults.broker, backend)
        return post

    def hand_over(self, defaults: Defaults, pairs: Sequence[tuple[Route, Envelope]], patience: float) -> None:
        """As ``Broker.publish``, for a plain call; raises ``umbel.TimeoutError`` after ``patience`` seconds."""
        post = self.reached(defaults)
        if post is not None:
            post.send(pairs, patience)
        else:
            self._cross(defaults, pairs, patience)

    def _cross(self, defaults: Defaults, pairs: Sequence[tuple[Route, Envelope]], patience: float) -> None:
        from umbel import bridge

        loop = bridge.get()
        broker, replies = defaults.broker, defaults.replies

        async def publish() -> None:
            await loop.entered(broker)
            if replies is not None:
                await loop.entered(self._app.backend)
                await replies.listen()
            await broker.publish(pairs)

        loop.run(publish(), patience)
