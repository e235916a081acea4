"""One attempt at a message on this worker: what a task sees as ``self.request``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from umbel.errors import UmbelError
from umbel.model import Delivery, Message


class Request:
    """One attempt; ``message`` is what was asked for, the rest is where and how it is being run.

    Outside a worker (``called_directly``) there is no message: ``id`` is None and everything else empty.
    """

    __slots__ = ("cancelled", "children", "delivery", "hostname", "is_eager", "message", "progress")

    def __init__(
        self,
        message: Message | None = None,
        delivery: Delivery | None = None,
        *,
        hostname: str | None = None,
        is_eager: bool = False,
    ) -> None:
        self.message = message
        self.delivery = delivery
        self.hostname = hostname
        self.is_eager = is_eager
        self.children: list[str] = []
        """The ids of what the task sent while it ran, if their results are kept; owned by who runs the task."""
        self.cancelled = False
        """Whether somebody asked the task to stop at its next step."""
        self.progress: Any = None
        """The ``umbel.progress.meter.Meter`` of this attempt; None until there is something to tell."""

    def __repr__(self) -> str:
        return f"<Request {self.task}[{self.id}]>" if self.message else "<Request: called directly>"

    def add_headers(self, headers: Mapping[str, Any]) -> None:
        """Give the message more headers: a later attempt of this task has them too.

        Raises ``UmbelError`` where the function was called directly.
        """
        if self.message is None:
            raise UmbelError("add_headers: the function was called directly, so there is no message to have headers")
        self.message = self.message.with_headers(headers)

    @property
    def called_directly(self) -> bool:
        """True when the task's function was called like any function: no message stands behind it."""
        return self.message is None

    @property
    def id(self) -> str | None:
        """The task id."""
        return self.message.id if self.message else None

    @property
    def task(self) -> str | None:
        """The task's name as the message has it."""
        return self.message.task if self.message else None

    @property
    def args(self) -> Sequence[Any]:
        """Positional arguments."""
        return self.message.args if self.message else ()

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """Keyword arguments."""
        return self.message.kwargs if self.message else {}

    @property
    def retries(self) -> int:
        """How often the task asked to be tried again before this attempt."""
        return self.message.retries if self.message else 0

    @property
    def eta(self) -> datetime | None:
        """Not before this time."""
        return self.message.eta if self.message else None

    @property
    def expires(self) -> datetime | None:
        """Not started after this time."""
        return self.message.expires if self.message else None

    @property
    def root_id(self) -> str | None:
        """The id of the first task of the workflow."""
        return self.message.root_id if self.message else None

    @property
    def parent_id(self) -> str | None:
        """The id of the task that sent this one."""
        return self.message.parent_id if self.message else None

    @property
    def group(self) -> str | None:
        """The id of the group whose member this is."""
        return self.message.group if self.message else None

    @property
    def group_index(self) -> int | None:
        """The position in the group."""
        return self.message.group_index if self.message else None

    @property
    def correlation_id(self) -> str | None:
        """The same as ``id``."""
        return self.id

    @property
    def reply_to(self) -> str | None:
        """The sender's reply queue, if it has one."""
        return self.message.reply_to if self.message else None

    @property
    def origin(self) -> str | None:
        """Which process sent the message."""
        return self.message.origin if self.message else None

    @property
    def shadow(self) -> str | None:
        """The name to show in logs in place of the task's."""
        return self.message.shadow if self.message else None

    @property
    def ignore_result(self) -> bool:
        """Whether the caller asked that no result be kept."""
        return self.message.ignore_result if self.message else False

    @property
    def headers(self) -> Mapping[str, Any] | None:
        """The sender's own headers; None when there are none."""
        return self.message.headers if self.message else None

    @property
    def properties(self) -> Mapping[str, Any]:
        """The sender's own message properties."""
        return self.message.properties if self.message else {}

    @property
    def timelimit(self) -> tuple[float | None, float | None]:
        """(hard, soft) limits in seconds."""
        return (self.message.time_limit, self.message.soft_time_limit) if self.message else (None, None)

    @property
    def delivery_info(self) -> Mapping[str, Any]:
        """Where it came from: exchange, routing_key, priority, redelivered."""
        if self.delivery is None:
            return {}
        return {
            "exchange": "",
            "routing_key": self.delivery.queue,
            "priority": self.delivery.priority,
            "redelivered": self.delivery.redelivered,
        }
