"""Tells the receivers of the publishing signals of a message, and takes over what they put into it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from umbel.model import Message, Route
from umbel.signals import after_task_publish, before_task_publish
from umbel.wire.marks import PREFIX
from umbel.wire.names import LINKS, PROPERTIES, RESERVED_HEADERS
from umbel.wire.task_v2 import headers_of, properties_of

logger = logging.getLogger("umbel.signals")


def announced(route: Route, message: Message) -> Message:
    """Send ``before_task_publish``; gives the message with the headers and properties that receivers have added.

    What they do to a header that is the message's own is logged and left out. Raises ``EncodeError``.
    """
    headers, properties = headers_of(message), properties_of(message)
    before = dict(headers)
    before_task_publish.send(
        sender=message.task,
        body=_body(message),
        exchange=route.exchange,
        routing_key=route.routing_key or route.queue,
        headers=headers,
        properties=properties,
        declare=[],
        retry_policy=None,
    )
    changed = [name for name in before if _is_own(name) and (name not in headers or headers[name] != before[name])]
    if changed:
        logger.warning("before_task_publish: %s of %s stay as they are", ", ".join(changed), message.task)
    return replace(
        message,
        headers={name: value for name, value in headers.items() if not _is_own(name)} or None,
        properties=_users_properties(properties, message),
    )


def published(messages: Iterable[tuple[Route, Message]]) -> None:
    """Send ``after_task_publish`` for each."""
    for route, message in messages:
        after_task_publish.send(
            sender=message.task,
            headers=headers_of(message),
            body=_body(message),
            exchange=route.exchange,
            routing_key=route.routing_key or route.queue,
        )


def _body(message: Message) -> tuple[Any, Any, dict[str, Any]]:
    return message.args, message.kwargs, {name: getattr(message.links, name) for name in LINKS}


def _is_own(name: str) -> bool:
    return name in RESERVED_HEADERS or name.startswith(PREFIX)


def _users_properties(properties: Mapping[str, Any], message: Message) -> Mapping[str, Any]:
    mine = {name: value for name, value in properties.items() if name not in PROPERTIES}
    if "delivery_mode" not in message.properties and mine.get("delivery_mode") == 2:
        mine.pop("delivery_mode")
    return mine
