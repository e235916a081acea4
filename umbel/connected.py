"""An app's connections: the adapters that its settings choose, and the end of their use."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from umbel import plug
from umbel.errors import NoResultBackend
from umbel.ports import Broker, Replies, ResultBackend
from umbel.settings.loader import Settings
from umbel.shortcuts import Immediate

if TYPE_CHECKING:
    from umbel.bridge import Way
    from umbel.spooling import Spooling


class Connected:
    """What reaches a broker and a result store. Connections are made at first use, and shared by the whole process."""

    def __init__(self, conf: Settings) -> None:
        self.conf = conf
        self._broker: tuple[str, Broker] | None = None
        self._backend: tuple[str, ResultBackend] | None = None
        self._spool: tuple[tuple[str, Broker], Spooling] | None = None

    @property
    def broker(self) -> Broker:
        """The adapter for ``broker_url``; made at first use, and again when the setting was changed."""
        url = self.conf.broker_url
        if self._broker is None or self._broker[0] != url:
            self._broker = (url, plug.broker_class(url)(url, self.conf))
        return self._broker[1]

    @property
    def backend(self) -> ResultBackend:
        """The adapter for ``result_backend``; raises ``NoResultBackend`` when none is configured."""
        url = self.result_url
        if url is None:
            raise NoResultBackend(
                "no result is kept: result_backend is off; set result_backend to a URL, for example "
                "'sqlite:///results.db', or leave it out with a broker that keeps results itself"
            )
        if self._backend is None or self._backend[0] != url:
            self._backend = (url, plug.backend_class(url)(url, self.conf))
        return self._backend[1]

    @property
    def spool(self) -> Spooling | None:
        """Where calls wait for a broker that is away: ``broker_spool``; None where it is off, or the broker has no need
        of one. Raises ``ConfigurationError`` when nothing can be kept there."""
        path, broker = self.conf.broker_spool, self.broker
        if path is None or isinstance(broker, Immediate):
            return None
        if self._spool is None or self._spool[0] != (path, broker):
            from umbel.spooling import Spooling

            spool = Spooling(path, broker, self._ready)
            spool.file.open()
            self._spool = ((path, broker), spool)
        return self._spool[1]

    async def _ready(self) -> None:
        """Make the broker usable on the bridge, with a place to which results can come."""
        from umbel import bridge

        way = bridge.get()
        await way.entered(self.broker)
        if self.result_url is not None and isinstance(self.backend, Replies):
            await way.entered(self.backend)
            await self.backend.listen()

    @property
    def result_url(self) -> str | None:
        """Where results are kept: ``result_backend``, else the broker's own store, else None."""
        chosen = self.conf.result_backend
        if chosen is None or isinstance(chosen, str):
            return chosen
        url: str = self.conf.broker_url
        return url if plug.has_backend(url) else None

    def close(self) -> None:
        """Let go of every connection and open file; calls under way may fail. Repeatable.

        The app can be used again: what it needs is opened anew. Messages and results are where they were; those of a
        ``memory://`` store live as long as the app does.
        """
        from umbel import bridge

        way = bridge.standing()
        if way is not None:
            way.run(self._left(way))
        self._let_go()

    async def aclose(self) -> None:
        """As ``close``, for coroutines."""
        from umbel import bridge

        way = bridge.standing()
        if way is not None:
            await way.cross(self._left(way))
        self._let_go()

    async def _left(self, way: Way) -> None:
        for known in (self._spool, self._broker, self._backend):
            if known is not None:
                await way.left(known[1])

    def _let_go(self) -> None:
        if self._broker is not None and isinstance(self._broker[1], Immediate):
            self._broker[1].close_now()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
