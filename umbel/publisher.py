"""Sends messages: from a call to bytes that the broker has confirmed."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any

from umbel import current, outgoing
from umbel.call import CallOptions, due_time, expiry_time
from umbel.crossing import Crossing
from umbel.defaults import Defaults
from umbel.errors import StoreError, TimeoutError
from umbel.ids import new_id, new_ids
from umbel.middleware import NextSend
from umbel.model import Envelope, Message, Queue, Route
from umbel.offer import Offer
from umbel.retry import PublishRetry
from umbel.routing import Queues, Routes
from umbel.signals import after_task_publish, before_task_publish
from umbel.wire import task_v2
from umbel.wire.swift import maker
from umbel.wiring import App

_NONE: Mapping[str, Any] = {}

_A_THOUSAND = 1000
"""So many messages are sent together in the time that the settings give to one; more have it as many times over."""

_SHARED = tuple(each.name for each in fields(Message) if each.name not in ("id", "args", "root_id"))
"""What the messages of calls that were sent together have in common."""

_like = maker(Message, ("id", "args", "root_id", *_SHARED))


class Publisher:
    """An app's way to its broker. Thread-safe; survives a fork."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._origin = (0, "")
        self.eager = False
        """Whether calls are to run here in place of being sent; as the settings were at the last ``prepare``."""
        self._defaults: Defaults | None = None
        """Read once, and again after a write to the settings."""
        self._routed_last: dict[str, tuple[CallOptions, CallOptions]] = {}
        """By task, the options of the call before, which calls without any share, and what its route made of them."""
        self._crossing = Crossing(app)
        app.conf.on_write(self._forget)

    def _forget(self) -> None:
        self._defaults = None
        self._routed_last = {}

    def _read(self) -> Defaults:
        app = self._app
        self.eager = app.conf.task_always_eager
        app.middleware.fold()
        self._defaults = known = Defaults.of(app)
        return known

    def prepare(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions
    ) -> tuple[Route, Message]:
        """The message for one call as the middlewares leave it, and where it goes; nothing is sent.

        Inside a running task the new message gets that task as its parent, and the same root.
        """
        defaults = self._defaults or self._read()
        if defaults.routes is not None:
            options = self._routed(defaults.routes, name, args, kwargs, options)
        task_id = options.task_id or new_id()
        parent_id, root_id = options.parent_id, options.root_id
        attempt = current.request.get()
        if attempt is not None and attempt.id is not None:
            parent_id = parent_id or attempt.id
            root_id = root_id or attempt.root_id or attempt.id
        eta = expires = due = None
        if options.timed:
            now = self._app.clock.now()
            eta = due_time(options, now, defaults.zone)
            expires = expiry_time(options.expires, now, defaults.zone)
            due = _due(eta, now)
        pid = os.getpid()
        if self._origin[0] != pid:
            self._origin = (pid, f"gen{pid}@{socket.gethostname()}")
            defaults = self._read()  # a fork has a place of its own for replies
        priority = defaults.priority if options.priority is None else options.priority
        message = Message(
            task=name,
            id=task_id,
            args=args,
            kwargs=kwargs,
            root_id=root_id or task_id,
            parent_id=parent_id,
            eta=eta,
            expires=expires,
            time_limit=options.time_limit,
            soft_time_limit=options.soft_time_limit,
            shadow=options.shadow,
            ignore_result=defaults.ignore_result if options.ignore_result is None else options.ignore_result,
            priority=priority,
            reply_to=options.reply_to or defaults.reply_to,
            origin=self._origin[1],
            argsrepr=options.argsrepr,
            kwargsrepr=options.kwargsrepr,
            headers=options.headers,
            properties=options.properties or _NONE,
            serializer=options.serializer or defaults.serializer,
            compression=options.compression or defaults.compression,
        )
        if defaults.queues is None and options.routing_key is None:
            route = Route(options.queue or defaults.queue, priority, due)
        else:
            queue = _declared(defaults.queues or self._app.queues, options)
            route = Route(queue.name, priority, due, queue.exchange, queue.routing_key)
        sends = self._app.middleware.sends
        return (route, message) if sends is None else self._passed(sends, route, message)

    def _passed(self, sends: NextSend, route: Route, message: Message) -> tuple[Route, Message]:
        """The message as the middlewares want it, and what that means for where it goes."""
        changed = sends(message)
        due = _due(changed.eta, self._app.clock.now())
        return route._replace(priority=changed.priority, due=due), changed

    def queue_of(self, name: str, options: CallOptions) -> str | None:
        """Where calls of that task with these options go; None when a router decides by the arguments."""
        defaults = self._defaults or self._read()
        known: Mapping[str, Any] | None = _NONE if defaults.routes is None else defaults.routes.of_name(name)
        if known is None and options.queue is None and options.routing_key is None:
            return None
        return _declared(self._app.queues, options.filled(known or _NONE)).name

    def _routed(
        self, routes: Routes, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions
    ) -> CallOptions:
        known = routes.of_name(name)
        if known is None:
            known = routes.find(name, args, kwargs, options.given, self._app.tasks.get(name))
            return options.filled(known) if known else options
        last, filled = self._routed_last.get(name, (None, options))
        if last is not options:
            filled = options.filled(known)
            self._routed_last[name] = options, filled
        return filled

    def prepare_many(
        self, name: str, calls: Sequence[Sequence[Any]], options: CallOptions
    ) -> list[tuple[Route, Message]]:
        """The messages for calls that differ in their positional arguments alone; nothing is sent."""
        if not calls:
            return []
        routes = (self._defaults or self._read()).routes
        each_apart = self._app.middleware.sends is not None
        if each_apart or (routes is not None and routes.of_name(name) is None):  # their arguments may tell them apart
            return [self.prepare(name, args, _NONE, options) for args in calls]
        route, first = self.prepare(name, calls[0], _NONE, options)
        own_root = first.root_id == first.id
        rest = [getattr(first, field) for field in _SHARED]
        return [
            (route, _like(task_id, args, task_id if own_root else first.root_id, *rest))
            for task_id, args in zip(new_ids(len(calls)), calls, strict=True)
        ]

    def send(self, route: Route, message: Message, *, retry: PublishRetry | None = None) -> None:
        """Return when the broker has ``message`` durably; ``retry`` replaces what the settings say of that.

        Raises ``PublishError`` (with the message in it) when it has not within ``broker_publish_timeout``, and
        ``EncodeError`` when an argument cannot be written; in both cases nothing was sent.
        """
        defaults = self._defaults or self._read()
        message, envelope = self._written(defaults, route, message)
        self._publish(defaults, [(route, envelope)], message, retry)
        self._sent(route, message)

    def written(self, route: Route, message: Message, *, retry: PublishRetry | None = None) -> Callable[[], None]:
        """``send`` in two steps: ``message`` is written now, and sent when what is given is called.

        Raises ``EncodeError``; the second step raises ``PublishError``.
        """
        defaults = self._defaults or self._read()
        message, envelope = self._written(defaults, route, message)

        def send() -> None:
            self._publish(defaults, [(route, envelope)], message, retry)
            self._sent(route, message)

        return send

    async def asend(self, route: Route, message: Message, *, retry: PublishRetry | None = None) -> None:
        """As ``send``, from a coroutine, whose loop goes on meanwhile; where ``apart`` is true."""
        defaults = self._defaults or self._read()
        message, envelope = self._written(defaults, route, message)
        offer = Offer(message, retry or defaults.retry, monotonic() + defaults.timeout)
        post = self._crossing.reached(defaults)
        if post is None:
            from umbel import bridge

            await bridge.aside(lambda: self._publish(defaults, [(route, envelope)], message, retry))
        else:
            await post.asend_until([(route, envelope)], defaults.timeout, offer)
        self._sent(route, message)

    @property
    def apart(self) -> bool:
        """Whether sending is nothing but writing bytes and waiting for the broker's word, which ``asend`` does.

        Else it runs the user's code, such as a middleware, or a store's, and coroutines leave it to a thread.
        """
        defaults = self._defaults or self._read()
        return (
            defaults.posts
            and defaults.spool is None
            and defaults.routes is None
            and not self.eager
            and self._app.middleware.sends is None
            and not (before_task_publish.receivers or after_task_publish.receivers)
        )

    def _written(self, defaults: Defaults, route: Route, message: Message) -> tuple[Message, Envelope]:
        if before_task_publish.receivers:
            message = outgoing.announced(route, message)
        if defaults.redaction is not None:
            message = defaults.redaction.of(message, self._app.parameters_of(message.task))
        return message, task_v2.encode(message, defaults.form, protection=defaults.protection)

    def _sent(self, route: Route, message: Message) -> None:
        attempt = current.request.get()
        if attempt is not None and not message.ignore_result:
            attempt.children.append(message.id)
        if after_task_publish.receivers:
            outgoing.published([(route, message)])

    def send_many(self, messages: Sequence[tuple[Route, Message]], *, retry: PublishRetry | None = None) -> None:
        """As ``send``, for all of them in one durable write: all or none where the store can."""
        defaults = self._defaults or self._read()
        if before_task_publish.receivers:
            messages = [(route, outgoing.announced(route, message)) for route, message in messages]
        bodies = [message for _, message in messages]
        if defaults.redaction is not None:
            bodies = [defaults.redaction.of(each, self._app.parameters_of(each.task)) for each in bodies]
        envelopes = task_v2.encode_many(bodies, defaults.form, protection=defaults.protection)
        pairs = [(route, envelope) for (route, _), envelope in zip(messages, envelopes, strict=True)]
        self._publish(defaults, pairs, bodies, retry)
        attempt = current.request.get()
        if attempt is not None:
            attempt.children += [message.id for message in bodies if not message.ignore_result]
        if after_task_publish.receivers:
            outgoing.published(messages)

    def _publish(
        self, defaults: Defaults, pairs: Sequence[tuple[Route, Envelope]], message: Any, retry: PublishRetry | None
    ) -> None:
        if not pairs:
            return
        if on_a_loop():
            _warn_of_blocking()
        patience = defaults.timeout * (1 + len(pairs) // _A_THOUSAND)
        offer, latest = None, monotonic() + patience
        while True:
            try:
                if defaults.immediate is not None:
                    defaults.immediate.publish_now(pairs)
                elif defaults.spool is not None:
                    defaults.spool.publish(pairs, lambda: self._crossing.hand_over(defaults, pairs, patience))
                else:
                    self._crossing.hand_over(defaults, pairs, patience)
                return
            except (StoreError, TimeoutError) as error:
                offer = offer or Offer(message, retry or defaults.retry, latest)
                sleep(offer.pause_after(error))


def on_a_loop() -> bool:
    """Whether an event loop runs in this thread, so that blocking here would hold it up."""
    # another thread may be importing asyncio at this moment: then no loop runs here
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return running is not None and running() is not None


_warned = False
"""Whether this process was told that it blocks a loop; ``_warn_of_blocking`` alone sets it."""


def _warn_of_blocking() -> None:
    """Warn, once, at the line that called umbel."""
    global _warned
    if _warned:
        return
    _warned = True
    depth, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("umbel."):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(
        "sending a task by a plain call holds up the event loop that runs here until the broker has it: "
        "await task.adelay(...), adelay_many(...) or aapply_async(...) instead",
        RuntimeWarning,
        stacklevel=depth,
    )


def _declared(queues: Queues, options: CallOptions) -> Queue:
    if options.routing_key is not None:
        return queues.keyed(options.exchange, options.routing_key)
    return queues.find(options.queue or queues.default)


def _due(eta: datetime | None, now: float) -> float | None:
    if eta is None:
        return None
    due = (eta - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    return due if due > now else None
