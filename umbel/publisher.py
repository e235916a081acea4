"""Sends messages: from a call to bytes that the broker has confirmed."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from umbel import current, ids
from umbel.call import CallOptions, due_time, expiry_time
from umbel.errors import PublishError, StoreError, TimeoutError
from umbel.model import Envelope, Message, Route
from umbel.ports import Broker, Immediate
from umbel.wire import task_v2
from umbel.wiring import App

Call = tuple[Sequence[Any], Mapping[str, Any]]


class Publisher:
    """An app's way to its broker. Thread-safe; survives a fork."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._origin = (0, "")

    def prepare(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions
    ) -> tuple[Route, Message]:
        """The message for one call, and where it goes; nothing is sent.

        Inside a running task the new message gets that task as its parent, and the same root.
        """
        conf = self._app.conf
        now = self._app.clock.now()
        zone = self._app.timezone
        task_id = options.task_id or ids.new_id()
        parent_id, root_id = options.parent_id, options.root_id
        attempt = current.request.get()
        if attempt is not None and attempt.id is not None:
            parent_id = parent_id or attempt.id
            root_id = root_id or attempt.root_id or attempt.id
        eta = due_time(options, now, zone)
        priority = options.priority if options.priority is not None else conf.task_default_priority
        message = Message(
            task=name,
            id=task_id,
            args=args,
            kwargs=kwargs,
            root_id=root_id or task_id,
            parent_id=parent_id,
            eta=eta,
            expires=expiry_time(options.expires, now, zone),
            shadow=options.shadow,
            ignore_result=conf.task_ignore_result if options.ignore_result is None else options.ignore_result,
            priority=priority,
            reply_to=options.reply_to or "",
            origin=self.origin,
            argsrepr=options.argsrepr,
            kwargsrepr=options.kwargsrepr,
            headers=options.headers,
            properties=options.properties or {},
            serializer=options.serializer or conf.task_serializer,
            compression=options.compression or conf.task_compression,
        )
        queue = options.queue or conf.task_default_queue
        return Route(queue, priority, _due(eta, now)), message

    @property
    def origin(self) -> str:
        """``gen<pid>@<host>``: the sender's name on the wire."""
        pid = os.getpid()
        if self._origin[0] != pid:
            self._origin = (pid, f"gen{pid}@{socket.gethostname()}")
        return self._origin[1]

    def send(self, route: Route, message: Message) -> None:
        """Return when the broker has ``message`` durably.

        Raises ``PublishError`` (with the message in it) when it has not within ``broker_publish_timeout``, and
        ``EncodeError`` when an argument cannot be written; in both cases nothing was sent.
        """
        broker = self._app.broker
        self._publish(broker, [(route, task_v2.encode(message, broker.form))], message)

    def send_many(self, messages: Sequence[tuple[Route, Message]]) -> None:
        """As ``send``, for all of them in one durable write: all or none where the store can."""
        broker = self._app.broker
        form = broker.form
        pairs = [(route, task_v2.encode(message, form)) for route, message in messages]
        self._publish(broker, pairs, [message for _, message in messages])

    def _publish(self, broker: Broker, pairs: Sequence[tuple[Route, Envelope]], message: Any) -> None:
        try:
            if isinstance(broker, Immediate):
                broker.publish_now(pairs)
            else:
                self._cross(broker, pairs)
        except (StoreError, TimeoutError) as error:
            raise PublishError(f"the broker did not take the message: {error}", message) from error

    def _cross(self, broker: Broker, pairs: Sequence[tuple[Route, Envelope]]) -> None:
        from umbel import bridge

        loop = bridge.get()

        async def publish() -> None:
            await loop.entered(broker)
            await broker.publish(pairs)

        loop.run(publish(), self._app.conf.broker_publish_timeout)


def _due(eta: datetime | None, now: float) -> float | None:
    if eta is None:
        return None
    due = (eta - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    return due if due > now else None
