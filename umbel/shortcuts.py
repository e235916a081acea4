"""Ports of adapters to which there is a shorter way, for those who send or wait, than those that all have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from umbel.model import Envelope, Route, SealedRecord

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


@runtime_checkable
class Immediate(Protocol):
    """A broker that lives in the caller's process or file: it needs no connection and no background loop."""

    def publish_now(self, messages: Sequence[tuple[Route, Envelope]]) -> None:
        """As ``Broker.publish``, in the calling thread."""
        ...

    def close_now(self) -> None:
        """Let go of what ``publish_now`` opened; it is opened again when it is needed. Repeatable."""
        ...


@runtime_checkable
class Posts(Protocol):
    """A broker that sends what many callers have at the same moment in one write."""

    def post(
        self, messages: Sequence[tuple[Route, Envelope]], then: Callable[[BaseException | None], None]
    ) -> Callable[[], None]:
        """As ``Broker.publish``, not awaited; for the thread of the adapter's loop.

        ``then`` is called there, once, with what ``publish`` would have raised, or None. What is returned withdraws
        the messages if they are not on their way yet.
        """
        ...


@runtime_checkable
class SendsDirectly(Protocol):
    """A broker that may take what a plain call sends from the calling thread, without its loop."""

    def send_directly(
        self, loop: AbstractEventLoop, messages: Sequence[tuple[Route, Envelope]], timeout: float
    ) -> Sequence[tuple[Route, Envelope]]:
        """Send ``messages`` durably, all or none, within ``timeout`` seconds, if this is the moment for it.

        ``loop`` is one on which the broker is entered. Gives what is to be sent in the usual way then: nothing, or all
        of them, with the mark of what may have been sent before where that is in doubt. For any thread but the loop's.
        """
        ...


@runtime_checkable
class WaitsDirectly(Protocol):
    """A result backend that may be waited on in the calling thread, without its loop."""

    def end_of(self, loop: AbstractEventLoop, id: str, timeout: float | None) -> SealedRecord | None:
        """The last record of the task ``id``, as ``watch`` would give it, if it comes within ``timeout`` seconds.

        ``loop`` is one on which the backend is entered. None when it has not come, which may be known long before the
        time is over: ``watch`` goes on from there. For any thread but the loop's.
        """
        ...
