"""A ``Message`` as an envelope and back: task messages of protocol 2, which Celery has sent since version 4."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any

from umbel import serial
from umbel.errors import DecodeError, EncodeError, MissingExtra, SealError, WireError
from umbel.model import NO_LINKS, Envelope, Links, Message
from umbel.serial import read_json, write_json
from umbel.wire import compression, marks, task_v1
from umbel.wire.bounds import MAX_NAME, NAMES, odd_name
from umbel.wire.envelope import Form, Letter, form_called, unpack
from umbel.wire.fields import MAX_HEADERS, message_from
from umbel.wire.marks import SEAL
from umbel.wire.names import HEADERS, LINKS, PROPERTIES, RESERVED_HEADERS
from umbel.wire.reprs import safe_repr, sort_of

if TYPE_CHECKING:
    from umbel.wire.protection import Protection

MAX_SIZE = 64 * 2**20
"""Bytes of a message, expanded, that are read unless the caller says otherwise."""

MAX_USERS_HEADERS = MAX_HEADERS // 2
"""A call with more headers of its own is refused; the rest is room for those of the message."""

HIDDEN = "<encrypted>"
"""What is shown of arguments that travel in a sealed body."""

BACKSLASH = 0x5C
"""As a number it is found among bytes in a tenth of the time."""

_PLAIN = (tuple, list, dict)

_NO_LINKS_TEXT = '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'


def encode(message: Message, form: str, *, now: float | None = None, protection: Protection | None = None) -> Envelope:
    """The message as bytes, in the envelope layout ``form``, signed and sealed by ``protection``.

    ``now`` is the unix time in seconds: with it, a message that expires tells a broker that can drop it when to.
    Raises ``EncodeError`` that names the part which cannot be written, ``UnknownOption`` for a layout, serializer or
    compression that does not exist, ``MissingExtra`` for one that is not installed.
    """
    return _encode(message, form_called(form), now, protection)


def encode_many(
    messages: Iterable[Message], form: str, *, now: float | None = None, protection: Protection | None = None
) -> list[Envelope]:
    """``encode`` for each; when one cannot be written nothing is returned."""
    layout = form_called(form)
    return [_encode(message, layout, now, protection) for message in messages]


def decode(
    envelope: Envelope,
    *,
    accept: frozenset[str],
    max_size: int = MAX_SIZE,
    protection: Protection | None = None,
    fresh: bool = True,
) -> Message:
    """The message in an envelope that anybody may have made.

    ``accept`` holds the content types that may be read; ``max_size`` is in bytes and holds for the expanded body. A
    message of protocol 1 is read too. With ``protection``, the signature is checked before the body is looked at, and
    ``fresh=False`` accepts one of any age.

    Raises ``DecodeError`` that names the field which is missing or wrong, ``ContentDisallowed`` before looking at a
    body of another type, ``SignatureError``, ``SealError``; nothing else, whatever the bytes are.
    """
    size = len(envelope.head) + len(envelope.body)
    if size > max_size:
        raise DecodeError("body", f"the message has {size} bytes, at most {max_size} are read")
    letter = unpack(envelope)
    headers, body, packing = letter.headers, letter.body, None
    if protection is not None:
        body = protection.open(letter, fresh=fresh)
    elif SEAL in headers:
        raise SealError(marks.NO_KEY)
    packed = headers.get("compression")
    if packed is not None:
        body, packing = _expand(body, packed, max_size)
    content = _content(letter, body, accept)
    old = "task" not in headers or isinstance(content, dict)
    if old:
        headers, args, kwargs, embed = task_v1.parts(headers, content)
    elif not isinstance(content, (list, tuple)) or len(content) != 3:
        raise DecodeError("body", f"is {sort_of(content)} and must be args, kwargs and links")
    else:
        args, kwargs, embed = content
    # A short head of JSON has no long names, and without escapes none of the characters that no name may have.
    head = envelope.head
    if old or len(head) > MAX_NAME or BACKSLASH in head or envelope.form != "plain":
        _refuse_odd_names(headers, letter.properties)
    serializer = serial.serializer_of(letter.content_type)
    return message_from(headers, letter.properties, args, kwargs, embed, serializer, packing)


def peek(envelope: Envelope) -> tuple[str | None, str | None]:
    """The task name and id of an envelope, as far as they can be told, for logs; never raises.

    The body is not read: of a message of protocol 1 only what the broker knows, the id, is told.
    """
    try:
        headers: Mapping[str, Any] = unpack(envelope).headers
    except WireError:
        headers = {}
    task, id = headers.get("task"), headers.get("id")
    return (
        task if isinstance(task, str) and task else None,
        id if isinstance(id, str) and id else envelope.id or None,
    )


def headers_of(message: Message, compression_type: str | None = None) -> dict[str, Any]:
    """The headers of a message, in order, for a layout that has its own types; raises ``EncodeError``."""
    headers = dict(
        zip(
            HEADERS,
            (
                "py",
                message.task,
                message.id,
                message.shadow,
                _iso(message.eta),
                _iso(message.expires),
                message.group,
                message.group_index,
                message.retries,
                [message.time_limit, message.soft_time_limit],
                message.root_id or message.id,
                message.parent_id,
                _shown(message.argsrepr, message.args),
                _shown(message.kwargsrepr, message.kwargs),
                message.origin,
                message.ignore_result,
                message.replaced_task_nesting,
                message.stamped_headers,
                dict(message.stamps),
            ),
            strict=True,
        )
    )
    if message.headers:
        headers.update(_users_headers(message.headers))
    if message.marks:
        headers.update(marks.written(message.marks))
    if compression_type is not None:
        headers["compression"] = compression_type
    return headers


def properties_of(message: Message, now: float | None = None) -> dict[str, Any]:
    """The properties of a message, in order; raises ``EncodeError``. ``now`` as in ``encode``."""
    _refuse_reserved("properties", message.properties, PROPERTIES)
    properties = {
        "correlation_id": message.id,
        "reply_to": message.reply_to,
        **message.properties,
        "delivery_mode": message.properties.get("delivery_mode", 2),
    }
    if message.expires is not None and now is not None:
        properties["expiration"] = _expiration(message.expires, now)
    properties["priority"] = message.priority or 0
    return properties


def _encode(message: Message, form: Form, now: float | None, protection: Protection | None) -> Envelope:
    body, content_type, content_encoding = _body(message)
    packing = None
    if message.compression is not None:
        body, packing = compression.compress(body, message.compression)
    if protection is not None and protection.seals:
        message = replace(message, argsrepr=HIDDEN, kwargsrepr=HIDDEN)
    if form.pack_text is None:
        _refuse_to_send_odd_names(message)
        headers, properties = headers_of(message, packing), properties_of(message, now)
        if protection is not None:
            seen = read_json(write_json(headers, "headers"), "headers")
            body, added = protection.close(Letter(seen, properties, body, content_type, content_encoding))
            headers |= added
        return form.pack(message.id, headers, properties, body, content_type, content_encoding)
    headers_text, properties_text = _headers_text(message, packing), _properties_text(message, now)
    if len(headers_text) + len(properties_text) > MAX_NAME or "\\" in headers_text or "\\" in properties_text:
        _refuse_to_send_odd_names(message)
    if protection is not None:
        properties = {"correlation_id": message.id, "reply_to": message.reply_to}
        seen = read_json(headers_text, "headers")
        body, added = protection.close(Letter(seen, properties, body, content_type, content_encoding))
        headers_text = f"{headers_text[:-1]},{write_json(added)[1:]}"
    return form.pack_text(message.id, headers_text, properties_text, body, content_type, content_encoding)


def _headers_text(message: Message, packing: str | None) -> str:
    """``headers_of`` as compact JSON text, made in one step: ``encode`` takes 3 µs this way, 8 through the tables."""
    id = quoted(message.id)
    root_id, group_index = message.root_id, message.group_index
    eta, expires = message.eta, message.expires
    hard, soft = message.time_limit, message.soft_time_limit
    stamped, stamps = message.stamped_headers, message.stamps
    text = (
        f'{{"lang":"py","task":{quoted(message.task)},"id":{id},"shadow":{_text(message.shadow)},'
        f'"eta":{"null" if eta is None else quoted(_iso(eta))},'
        f'"expires":{"null" if expires is None else quoted(_iso(expires))},'
        f'"group":{_text(message.group)},"group_index":{"null" if group_index is None else group_index},'
        f'"retries":{message.retries},"timelimit":[{"null" if hard is None else write_json(hard)},'
        f'{"null" if soft is None else write_json(soft)}],"root_id":{quoted(root_id) if root_id else id},'
        f'"parent_id":{_text(message.parent_id)},"argsrepr":{quoted(_shown(message.argsrepr, message.args))},'
        f'"kwargsrepr":{quoted(_shown(message.kwargsrepr, message.kwargs))},"origin":{_text(message.origin)},'
        f'"ignore_result":{"true" if message.ignore_result else "false"},'
        f'"replaced_task_nesting":{message.replaced_task_nesting},'
        f'"stamped_headers":{"null" if stamped is None else write_json(list(stamped))},'
        f'"stamps":{write_json(dict(stamps), "stamps") if stamps else "{}"}'
    )
    if message.headers:
        text += f",{write_json(dict(_users_headers(message.headers)), 'headers')[1:-1]}"
    if message.marks:
        text += f",{write_json(dict(marks.written(message.marks)), 'marks')[1:-1]}"
    return f'{text},"compression":{quoted(packing)}}}' if packing is not None else f"{text}}}"


def _properties_text(message: Message, now: float | None) -> str:
    if message.properties or message.expires is not None:
        return write_json(properties_of(message, now), "properties")
    return (
        f'{{"correlation_id":{quoted(message.id)},"reply_to":{quoted(message.reply_to)},'
        f'"delivery_mode":2,"priority":{message.priority or 0}}}'
    )


def _text(value: str | None) -> str:
    return "null" if value is None else quoted(value)


def _shown(text: str | None, value: Any) -> str:
    if text is not None:
        return text
    return repr(value) if not value and type(value) in _PLAIN else safe_repr(value)


def _body(message: Message) -> tuple[bytes, str, str]:
    """The serialized body, its content type and content encoding."""
    args, kwargs, links = message.args, message.kwargs, message.links
    if not isinstance(args, (list, tuple)):
        if isinstance(args, (str, bytes)):
            raise EncodeError(f"args: must be a list or tuple, not {type(args).__name__}")
        args = list(args)
    if not isinstance(kwargs, dict):
        kwargs = dict(kwargs)
    if message.serializer == "json":
        text = (
            f"[{write_json(args, 'args')}, {write_json(kwargs, 'kwargs') if kwargs else '{}'}, "
            f"{_NO_LINKS_TEXT if links is NO_LINKS else write_json(_embed(links), 'links')}]"
        )
        return text.encode(), "application/json", "utf-8"
    embed = _embed(links)
    try:
        content_type, encoding, data = serial.dumps((args, kwargs, embed), message.serializer, "body")
    except EncodeError:
        # Written by themselves they fail under their own names.
        for name, part in (("args", args), ("kwargs", kwargs), ("links", embed)):
            serial.dumps(part, message.serializer, name)
        raise
    return data, content_type, encoding


def _embed(links: Links) -> dict[str, Any]:
    return dict(zip(LINKS, (links.callbacks, links.errbacks, links.chain, links.chord), strict=True))


def _iso(time: datetime | None) -> Any:
    return None if time is None else time.isoformat()


def _expiration(expires: datetime, now: float) -> str:
    if expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    return str(max(0, round((expires.timestamp() - now) * 1000)))


def _users_headers(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    _refuse_reserved("headers", headers, RESERVED_HEADERS)
    if len(headers) > MAX_USERS_HEADERS:
        raise EncodeError(f"headers: {len(headers)} of them, at most {MAX_USERS_HEADERS} can be sent")
    for name in headers:
        if isinstance(name, str) and name.startswith(marks.PREFIX):
            raise EncodeError(
                f"headers[{name!r}]: names that begin with {marks.PREFIX} are umbel's own; choose another"
            )
    return headers


def _refuse_reserved(field: str, names: Mapping[str, Any], reserved: frozenset[str]) -> None:
    for name in names:
        if name in reserved:
            raise EncodeError(f"{field}[{name!r}]: this name is the message's own; choose another")


def _refuse_odd_names(headers: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
    found = odd_name(headers, properties)
    if found is not None:
        raise DecodeError(*found)


def _refuse_to_send_odd_names(message: Message) -> None:
    found = odd_name({name: getattr(message, name) for name in NAMES}, {"reply_to": message.reply_to})
    if found is not None:
        raise EncodeError(": ".join(found))


def _expand(body: bytes, packed: Any, max_size: int) -> tuple[bytes, str]:
    """The expanded body, and what ``Message.compression`` calls the way that it was compressed."""
    if type(packed) is not str:
        raise DecodeError("compression", f"is {safe_repr(packed, 80)} and must be a content type")
    try:
        return compression.decompress(body, packed, max_size), compression.name_of(packed)
    except MissingExtra as error:
        raise DecodeError("compression", str(error)) from error


def _content(letter: Letter, body: bytes, accept: frozenset[str]) -> Any:
    try:
        return serial.loads(body, letter.content_type, letter.content_encoding, accept)
    except MissingExtra as error:
        raise DecodeError("content-type", str(error)) from error
