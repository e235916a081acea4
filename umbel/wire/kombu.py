"""The layout in which a message travels over stores of plain values: one JSON object with everything in it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from umbel.errors import DecodeError, EncodeError
from umbel.ids import new_id
from umbel.model import Envelope
from umbel.serial import read_json, write_json
from umbel.wire.bounds import MAX_HEAD
from umbel.wire.envelope import Letter, letter_from
from umbel.wire.fields import moment

_ADDRESSED = b'"delivery_info"'
_URGENT = 9
_MARKED = b',"redelivered":true}}}'
_OURS = re.compile(
    rb',"priority":\d,"delivery_info":\{"exchange":"[^"\\]*","routing_key":"[^"\\]*"(,"redelivered":true)?\}\}\}$'
)
"""How an entry ends that ``addressed`` has made, where no name needs an escape."""

_LONGEST_END = 4096

_ID = re.compile(rb'"correlation_id": ?"([^"\\]{1,1024})"')
_PRIORITY = re.compile(rb'"priority": ?(\d)[,}]')
_REDELIVERED = re.compile(rb'"redelivered": ?true')
_TAG = re.compile(rb'"delivery_tag": ?"([^"\\]{1,200})"')
_ETA = re.compile(rb'"eta": ?(null|"[^"\\]*")')


def pack(
    id: str,
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    body: bytes,
    content_type: str,
    content_encoding: str,
) -> Envelope:
    """See ``wire.envelope.pack``. The entry has no address yet: ``addressed`` gives it one."""
    rest = {name: value for name, value in properties.items() if name != "priority" and value is not None}
    return pack_text(
        id, write_json(dict(headers), "headers"), write_json(rest, "properties"), body, content_type, content_encoding
    )


def pack_text(
    id: str, headers: str, properties: str, body: bytes, content_type: str, content_encoding: str
) -> Envelope:
    """As ``pack``, with headers and properties as JSON text."""
    if len(headers) + len(properties) > MAX_HEAD:
        size = len(headers) + len(properties)
        raise EncodeError(f"headers: with the properties they have {size} bytes, at most {MAX_HEAD} can be sent")
    known, mark, number = properties.rpartition(',"priority":')
    if mark and number[:-1].isdigit():  # the address tells the priority
        properties = f"{known}}}"
    comma = "," if len(properties) > 2 else ""
    rest = (
        f'","content-encoding":{quoted(content_encoding)},"content-type":{quoted(content_type)},"headers":{headers},'
        f'"properties":{properties[:-1]}{comma}"body_encoding":"base64","delivery_tag":"{new_id()}"}}}}'
    )
    return Envelope("kombu", id, b"".join((b'{"body":"', binascii.b2a_base64(body, newline=False), rest.encode())), b"")


def addressed(head: bytes, exchange: str, routing_key: str, priority: int | None) -> bytes:
    """The entry with the place to which it goes and its priority; one that has an address keeps it.

    ``priority`` is umbel's, higher is sooner; on the wire 0 is the most urgent, and what one without any has.
    """
    if _ADDRESSED in head:
        return head
    number = 0 if priority is None else _URGENT - priority
    place = f'{{"exchange":{quoted(exchange)},"routing_key":{quoted(routing_key)}}}'
    return head[:-2] + f',"priority":{number},"delivery_info":{place}}}}}'.encode()


def has_eta(head: bytes) -> bool:
    """Whether an entry that ``pack`` made says when it is due, so that whoever reads it waits."""
    return b'"eta":"' in head or b'"eta": "' in head


def unpack(envelope: Envelope) -> Letter:
    """See ``wire.envelope.unpack``."""
    fields = _fields_of(envelope.head)
    body = fields.pop("body", "")
    if type(body) is not str:
        raise DecodeError("body", f"not text but {type(body).__name__}")
    properties = fields.get("properties")
    encoding = properties.get("body_encoding") if type(properties) is dict else None
    if len(envelope.head) - len(body) > MAX_HEAD:
        raise DecodeError("head", f"has {len(envelope.head) - len(body)} bytes, at most {MAX_HEAD} are read")
    if encoding == "base64":
        try:
            data = base64.b64decode(body, validate=True)
        except (binascii.Error, ValueError) as error:
            raise DecodeError("body", f"not base64: {error}") from error
    elif encoding in (None, "utf-8"):
        data = body.encode("utf-8", "surrogatepass")
    else:
        raise DecodeError("body_encoding", f"is {encoding!r:.80}, which nothing here reads")
    letter = letter_from(fields, data)
    urgency = letter.properties.pop("priority", 0)
    if urgency and isinstance(urgency, int) and not isinstance(urgency, bool):
        letter.properties["priority"] = max(0, _URGENT - urgency)
    for name in ("delivery_info", "delivery_tag", "body_encoding"):
        letter.properties.pop(name, None)
    letter.headers.pop("redelivered", None)
    return letter


def _fields_of(entry: bytes) -> dict[str, Any]:
    """What stands in an entry; raises ``DecodeError`` for one that is no JSON object."""
    try:
        text = entry.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("entry", f"not UTF-8: {error.reason} at byte {error.start}") from error
    fields = read_json(text, "entry")
    if type(fields) is not dict:
        raise DecodeError("entry", f"not an object but {type(fields).__name__}")
    return fields


class Told(NamedTuple):
    """What a node must know of an entry that nobody has decoded: the task's id, umbel's priority, whether it was handed
    out before, and the unix time before which it is not to start, None where it tells none."""

    id: str
    priority: int
    redelivered: bool
    due: float | None


def told_by(entry: bytes) -> Told:
    """What an entry tells; one that cannot be read tells nothing."""
    at = entry.rfind(b'"properties":')
    id = _ID.search(entry, at) if at >= 0 else None
    headers = entry.find(b'"headers":', 0, at) if id is not None else -1
    eta = _ETA.search(entry, headers, at) if headers >= 0 else None
    if id is None or eta is None:
        return _read(entry)
    number = _PRIORITY.search(entry, at)
    return Told(
        id[1].decode("utf-8", "replace"),
        _URGENT - int(number[1]) if number is not None else _URGENT,
        _REDELIVERED.search(entry, at) is not None,
        None if eta[1] == b"null" else _moment(eta[1][1:-1].decode("utf-8", "replace")),
    )


def _read(entry: bytes) -> Told:
    try:
        fields = _fields_of(entry)
    except DecodeError:
        return Told("", _URGENT, False, None)
    headers, properties = fields.get("headers"), fields.get("properties")
    headers = headers if isinstance(headers, dict) else {}
    properties = properties if isinstance(properties, dict) else {}
    info = properties.get("delivery_info")
    id, number, eta = (
        properties.get("correlation_id") or headers.get("id"),
        properties.get("priority"),
        headers.get("eta"),
    )
    return Told(
        id if isinstance(id, str) else "",
        min(_URGENT, max(0, _URGENT - number)) if type(number) is int else _URGENT,
        headers.get("redelivered") is True or (isinstance(info, dict) and info.get("redelivered") is True),
        _moment(eta) if isinstance(eta, str) else None,
    )


def _moment(eta: str) -> float | None:
    """The unix time of an eta; None for one that whoever decodes it will refuse."""
    try:
        return moment("eta", eta).timestamp()
    except (DecodeError, OverflowError):
        return None


def same(entry: bytes, other: bytes) -> bool:
    """Whether both are the same message, which somebody may have marked, and written anew for that."""
    tags = [_TAG.search(each, each.rfind(b'"properties":')) for each in (entry, other)]
    return entry == other or (tags[0] is not None and tags[1] is not None and tags[0][1] == tags[1][1])


def redelivered(entry: bytes) -> bytes:
    """The entry, marked as one that was handed out before; one that cannot be read as it is."""
    if (ours := _OURS.search(entry, max(0, len(entry) - _LONGEST_END))) is not None:
        return entry if ours[1] else entry[:-3] + _MARKED
    try:
        fields = _fields_of(entry)
    except DecodeError:
        return entry
    properties = fields.get("properties")
    info = properties.get("delivery_info") if isinstance(properties, dict) else None
    if not isinstance(info, dict):
        return entry
    info["redelivered"] = True
    return write_json(fields, "entry").encode()
