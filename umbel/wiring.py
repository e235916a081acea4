"""What the parts of an app may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Protocol

from umbel.call import CallOptions
from umbel.clock import Clock
from umbel.middleware import Onion
from umbel.model import Message, Route
from umbel.ports import Broker, ResultBackend
from umbel.retry import PublishRetry
from umbel.routing import Queues
from umbel.settings.loader import Settings
from umbel.wire.redaction import Parameters

if TYPE_CHECKING:
    from umbel.spooling import Spooling
    from umbel.wire.protection import Protection


class Sender(Protocol):
    """Makes messages of calls, and sends them."""

    @property
    def eager(self) -> bool: ...

    def queue_of(self, name: str, options: CallOptions) -> str | None: ...

    def prepare(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions
    ) -> tuple[Route, Message]: ...

    def prepare_many(
        self, name: str, calls: Sequence[Sequence[Any]], options: CallOptions
    ) -> list[tuple[Route, Message]]: ...

    def send(self, route: Route, message: Message, *, retry: PublishRetry | None = None) -> None: ...

    def written(self, route: Route, message: Message, *, retry: PublishRetry | None = None) -> Callable[[], None]: ...

    @property
    def apart(self) -> bool: ...

    async def asend(self, route: Route, message: Message, *, retry: PublishRetry | None = None) -> None: ...

    def send_many(self, messages: Sequence[tuple[Route, Message]], *, retry: PublishRetry | None = None) -> None: ...


class Rehearsal(Protocol):
    """Runs the tasks of an app that has no worker."""

    def until_done(self, task_ids: Sequence[str]) -> None:
        """Run what is due, in this thread, until one of these has ended; raises ``TimeoutError`` when none does."""
        ...

    async def auntil_done(self, task_ids: Sequence[str]) -> None:
        """As ``until_done``, on the running loop."""
        ...


class App(Protocol):
    """An app, as its tasks, its publisher, its results and its worker see it."""

    @property
    def main(self) -> str: ...

    @property
    def conf(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def middleware(self) -> Onion: ...

    @property
    def tasks(self) -> Mapping[str, Any]: ...

    @property
    def queues(self) -> Queues: ...

    @property
    def strict_typing(self) -> bool: ...

    @property
    def publisher(self) -> Sender: ...

    @property
    def broker(self) -> Broker: ...

    @property
    def backend(self) -> ResultBackend: ...

    @property
    def spool(self) -> Spooling | None: ...

    @property
    def result_url(self) -> str | None: ...

    @property
    def timezone(self) -> tzinfo: ...

    @property
    def accept_content(self) -> frozenset[str]: ...

    @property
    def result_content(self) -> frozenset[str]: ...

    @property
    def protection(self) -> Protection | None: ...

    @property
    def rehearsal(self) -> Rehearsal | None: ...

    def whole(self, name: str | None, value: Any) -> Any: ...

    def parameters_of(self, name: str) -> Parameters: ...
