"""How the ends of a chord's parts are written where they are joined, as Celery writes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from umbel import serial
from umbel.errors import DecodeError, WireError
from umbel.model import Envelope, State
from umbel.serial import write_json
from umbel.wire.bounds import odd_name
from umbel.wire.envelope import unpack
from umbel.wire.exceptions import from_wire, to_wire
from umbel.wire.fields import MAX_INTEGER
from umbel.wire.reprs import safe_repr

_LINK = re.compile(rb"1 ([a-z0-9]+) (\d+) ")


class Member(NamedTuple):
    """How one part has ended; the value of one that failed is an exception."""

    id: str
    state: str
    value: Any

    @property
    def failed(self) -> bool:
        """Whether the body cannot run for want of it."""
        return self.state in (State.FAILURE, State.REVOKED)


def seal_member(id: str, state: str, value: Any, serializer: str = "json") -> tuple[bytes, tuple[int, int]]:
    """The bytes, and from where to where they tell whose they are. Raises as ``results.seal``."""
    if isinstance(value, BaseException):
        value = to_wire(value, serializer)
    if serializer == "json":
        begin = f"[1, {quoted(id)},"
        return f"{begin} {quoted(state)}, {write_json(value, 'result')}]".encode(), (0, len(begin.encode()))
    payload = serial.dumps([1, id, str(state), value], serializer)[2]
    at = payload.index(id.encode())  # a pickle tells its size before that
    return payload, (at, at + len(id.encode()) + 1)


def unseal_member(payload: bytes, accept: frozenset[str]) -> Member:
    """How a part has ended; raises as ``results.unseal``."""
    content = serial.loads(payload, _content_type(payload), "utf-8", accept)
    if not isinstance(content, Sequence) or len(content) != 4:
        raise DecodeError("part", f"is {safe_repr(content, 80)} and must be a list of four")
    _, id, state, value = content
    if not isinstance(id, str) or not isinstance(state, str):
        raise DecodeError("part", f"is {safe_repr(content, 80)} and must name a task and its state")
    member = Member(id, state, value)
    return member._replace(value=from_wire(value)) if member.failed else member


def seal_link(envelope: Envelope) -> bytes:
    """A message as it is kept beside the ends, for whoever makes the body."""
    return b"1 %s %d " % (envelope.form.encode(), len(envelope.head)) + envelope.head + envelope.body


def unseal_link(link: bytes) -> Envelope:
    """The other way round; raises ``DecodeError``."""
    begin = _LINK.match(link)
    if begin is None:
        raise DecodeError("link", f"begins with {safe_repr(link[:20], 80)}, which nothing here reads")
    head = begin.end() + int(begin[2])
    envelope = Envelope(begin[1].decode(), "", link[begin.end() : head], link[head:])
    return envelope._replace(id=str(unpack(envelope).headers.get("id") or ""))


def membership(envelope: Envelope) -> tuple[str, str, int | None] | None:
    """The id of a task, its group and its place in it, where the head of a message that nobody can read tells them;
    never raises."""
    try:
        headers = unpack(envelope).headers
    except WireError:
        return None
    id, group, place = headers.get("id"), headers.get("group"), headers.get("group_index")
    if not (isinstance(id, str) and isinstance(group, str) and id and group) or odd_name(headers, {}) is not None:
        return None
    return id, group, place if type(place) is int and abs(place) <= MAX_INTEGER else None


def values_of(members: Sequence[Member], nested: bytes | None, accept: frozenset[str]) -> list[Any]:
    """What the body gets: the values of the parts in their order, or in lists as the group's record ``nested`` says.

    A record that cannot be read, or names others than these parts, counts for nothing.
    """
    plain = [member.value for member in members]
    if nested is None:
        return plain
    known = {member.id: member.value for member in members}
    try:
        content = serial.loads(nested, _content_type(nested), "utf-8", accept)
        found = _nested(content["result"], known)
    except (WireError, LookupError, TypeError, ValueError):
        return plain
    return found if isinstance(found, list) and not known else plain


def _nested(tree: Any, known: dict[str, Any]) -> Any:
    """The values of a result tuple, which are taken out of ``known``."""
    (id, _), members = tree
    return known.pop(id) if members is None else [_nested(each, known) for each in members]


def _content_type(payload: bytes) -> str:
    """What it was written with: the first byte of a list of four, or of a table of one, tells."""
    first = payload[:1]
    if first in (b"[", b"{"):
        return "application/json"
    if first == b"\x80":
        return "application/x-python-serialize"
    if first in (b"\x94", b"\x81"):
        return "application/x-msgpack"
    return "application/x-yaml"
