"""The messages of the bus: commands to worker nodes and their answers, as kombu's mailboxes have them.

A command is a table ``{method, arguments, destination, pattern, matcher}``, with ``ticket`` and ``reply_to`` when an
answer is wanted; an answer is ``{node: value}``, with the ticket in its headers. Where keys are, both are signed as
messages are; what is not signed by a key is refused then.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from umbel.errors import DecodeError
from umbel.model import Envelope
from umbel.serial import dumps, loads, read_json, write_json
from umbel.wire.envelope import Letter, pack, unpack

if TYPE_CHECKING:
    from umbel.wire.protection import Protection

COMMANDS = "celery.pidbox"
"""The exchange that hands a command to every node."""

ANSWERS = "reply.celery.pidbox"
"""The exchange that hands an answer to who asked."""

MAILBOX_ARGUMENTS = {"x-expires": 10_000, "x-message-ttl": 300_000}
"""Of the queues of nodes and of those who ask, in milliseconds."""

_OURS = frozenset({"application/json"})
"""What is read whatever is accepted: it is what umbel itself writes."""

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a command or an answer; a larger one is not read."""


def mailbox_of(node: str) -> str:
    """The queue in which a node's commands come."""
    return f"{node}.{COMMANDS}"


def inbox_of(address: str) -> str:
    """The queue in which answers to this address come."""
    return f"{address}.{ANSWERS}"


class Command(NamedTuple):
    """What nodes are asked to do. ``destination`` names the nodes, none for all that ``pattern`` fits (a glob).

    ``ticket`` and ``reply_to`` are empty where no answer is wanted.
    """

    method: str
    arguments: Mapping[str, Any]
    destination: tuple[str, ...] = ()
    pattern: str | None = None
    matcher: str | None = None
    ticket: str = ""
    reply_to: str = ""

    def is_for(self, node: str) -> bool:
        """Whether the node of that name is meant. Raises ``DecodeError`` for a way of matching that is not known."""
        if self.destination:
            return node in self.destination
        if self.pattern and self.matcher:
            if self.matcher != "glob":  # a regular expression from elsewhere may take hours
                raise DecodeError("matcher", f"{self.matcher[:80]!r} is not offered: use glob")
            return fnmatch.fnmatchcase(node, self.pattern)
        return True


class Answer(NamedTuple):
    """What nodes said to the command of that ticket: usually one node's value."""

    ticket: str
    values: Mapping[str, Any]


def write_command(command: Command, form: str, *, expires: float = 0, protection: Protection | None = None) -> Envelope:
    """The command as bytes; ``expires`` is the unix time after which nobody waits for an answer."""
    body: dict[str, Any] = {
        "method": command.method,
        "arguments": dict(command.arguments),
        "destination": list(command.destination) or None,
        "pattern": command.pattern,
        "matcher": command.matcher,
    }
    if command.ticket:
        body["ticket"] = command.ticket
        body["reply_to"] = {"exchange": ANSWERS, "routing_key": command.reply_to}
    return _write(form, {"clock": 0, "expires": expires}, 2, body, protection)


def read_command(envelope: Envelope, *, accept: frozenset[str], protection: Protection | None = None) -> Command:
    """The command in these bytes; raises ``WireError``. The body is read after its signature was checked."""
    body = _read(envelope, accept, protection)[1]
    method, arguments = body.get("method"), body.get("arguments")
    if type(method) is not str:
        raise DecodeError("method", "missing, or not text")
    if arguments is not None and type(arguments) is not dict:
        raise DecodeError("arguments", f"not a table but {type(arguments).__name__}")
    ticket, reply_to = body.get("ticket"), body.get("reply_to")
    place = reply_to.get("routing_key") if type(reply_to) is dict and reply_to.get("exchange") == ANSWERS else None
    wanted = type(ticket) is str and type(place) is str and 0 < len(place) < 200
    return Command(
        method,
        arguments or {},
        _names(body.get("destination")),
        _text("pattern", body.get("pattern")),
        _text("matcher", body.get("matcher")),
        str(ticket) if wanted else "",
        str(place) if wanted else "",
    )


def write_answer(node: str, ticket: str, value: Any, form: str, *, protection: Protection | None = None) -> Envelope:
    """What ``node`` says to the command of that ticket, as bytes."""
    return _write(form, {"ticket": ticket, "clock": 0}, 1, {node: value}, protection)


def read_answer(envelope: Envelope, *, accept: frozenset[str], protection: Protection | None = None) -> Answer:
    """The answer in these bytes; raises as ``read_command``."""
    headers, body = _read(envelope, accept, protection)
    ticket = headers.get("ticket")
    return Answer(ticket if type(ticket) is str else "", {str(node): value for node, value in body.items()})


def _write(
    form: str, headers: dict[str, Any], mode: int, value: dict[str, Any], protection: Protection | None
) -> Envelope:
    content_type, encoding, body = dumps(value, "json", "arguments")
    letter = Letter(headers, {"delivery_mode": mode, "priority": 0}, body, content_type, encoding)
    if protection is not None:
        seen = read_json(write_json(headers, "headers"), "headers")
        letter = letter._replace(headers={**headers, **protection.sign(letter._replace(headers=seen))})
    return pack(form, "", *letter)


def _read(
    envelope: Envelope, accept: frozenset[str], protection: Protection | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    size = len(envelope.head) + len(envelope.body)
    if size > MAX_BODY:
        raise DecodeError("body", f"has {size} bytes, at most {MAX_BODY} are read")
    letter = unpack(envelope)
    if protection is not None:
        protection.check(letter)
    body = loads(letter.body, letter.content_type, letter.content_encoding, accept | _OURS)
    if type(body) is not dict:
        raise DecodeError("body", f"not a table but {type(body).__name__}")
    return letter.headers, body


def _names(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    names = (value,) if type(value) is str else tuple(value) if type(value) in (list, tuple) else None
    if names is None or not all(type(name) is str for name in names):
        raise DecodeError("destination", "not a list of names")
    return names


def _text(name: str, value: Any) -> str | None:
    if value is not None and type(value) is not str:
        raise DecodeError(name, f"not text but {type(value).__name__}")
    return value
