"""The layouts in which a message's parts are put together to travel, and taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, NamedTuple

from umbel.errors import DecodeError, EncodeError, UnknownOption
from umbel.model import Envelope
from umbel.serial import read_json, write_json
from umbel.wire.bounds import MAX_HEAD


class Letter(NamedTuple):
    """An envelope's parts, the body as it travels: serialized, and compressed if the headers say so."""

    headers: dict[str, Any]
    properties: dict[str, Any]
    body: bytes
    content_type: str
    content_encoding: str


class Form(NamedTuple):
    """How one layout is written and read.

    ``pack`` takes id, headers, properties, body, content type, content encoding. ``pack_text``, where the layout is
    JSON inside, takes the same with headers and properties as JSON text in ASCII, which is faster to make.
    """

    pack: Callable[[str, Mapping[str, Any], Mapping[str, Any], bytes, str, str], Envelope]
    unpack: Callable[[Envelope], Letter]
    pack_text: Callable[[str, str, str, bytes, str, str], Envelope] | None = None


def pack(
    form: str,
    id: str,
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    body: bytes,
    content_type: str,
    content_encoding: str,
) -> Envelope:
    """Put the parts together in the layout called ``form``.

    Raises ``UnknownOption`` for a layout that does not exist, ``EncodeError`` for a header or property that it cannot
    hold.
    """
    return form_called(form).pack(id, headers, properties, body, content_type, content_encoding)


def unpack(envelope: Envelope) -> Letter:
    """Take the parts out again; raises ``DecodeError`` that names the part that is missing or wrong."""
    form = FORMS.get(envelope.form)
    if form is None:
        if envelope.form not in _FAR:
            raise DecodeError("form", f"nothing here reads the layout {envelope.form!r}")
        form = form_called(envelope.form)
    return form.unpack(envelope)


def form_called(name: str) -> Form:
    """The layout of that name; raises ``UnknownOption``."""
    form = FORMS.get(name)
    if form is None:
        if name not in _FAR:
            raise UnknownOption("envelope layout", name, {**FORMS, **_FAR})
        home = import_module(_FAR[name])
        form = FORMS[name] = Form(home.pack, home.unpack, getattr(home, "pack_text", None))
    return form


def letter_from(fields: Mapping[str, Any], body: bytes) -> Letter:
    """The letter whose other parts stand in ``fields``; raises ``DecodeError`` that names a wrong one."""
    headers = fields.get("headers")
    properties = fields.get("properties")
    content_type = fields.get("content-type")
    content_encoding = fields.get("content-encoding")
    if type(headers) is not dict:
        raise DecodeError("headers", "missing" if headers is None else f"not a table but {type(headers).__name__}")
    if type(properties) is not dict:
        if properties is not None:
            raise DecodeError("properties", f"not a table but {type(properties).__name__}")
        properties = {}
    if type(content_type) is not str:
        what = "missing" if content_type is None else f"not text but {type(content_type).__name__}"
        raise DecodeError("content-type", what)
    if type(content_encoding) is not str:
        if content_encoding is not None:
            raise DecodeError("content-encoding", f"not text but {type(content_encoding).__name__}")
        content_encoding = "utf-8"
    return Letter(headers, properties, body, content_type, content_encoding)


def _pack_plain(
    id: str,
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    body: bytes,
    content_type: str,
    content_encoding: str,
) -> Envelope:
    return _pack_plain_text(
        id,
        write_json(dict(headers), "headers"),
        write_json(dict(properties), "properties"),
        body,
        content_type,
        content_encoding,
    )


def _pack_plain_text(
    id: str, headers: str, properties: str, body: bytes, content_type: str, content_encoding: str
) -> Envelope:
    head = (
        f'{{"headers":{headers},"properties":{properties},'
        f'"content-type":{quoted(content_type)},"content-encoding":{quoted(content_encoding)}}}'
    )
    if len(head) > MAX_HEAD:
        raise EncodeError(f"headers: with the properties they have {len(head)} bytes, at most {MAX_HEAD} can be sent")
    return Envelope("plain", id, head.encode(), body)


def _unpack_plain(envelope: Envelope) -> Letter:
    if len(envelope.head) > MAX_HEAD:
        raise DecodeError("head", f"has {len(envelope.head)} bytes, at most {MAX_HEAD} are read")
    try:
        text = envelope.head.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("head", f"not UTF-8: {error.reason} at byte {error.start}") from error
    fields = read_json(text, "head")
    if type(fields) is not dict:
        raise DecodeError("head", f"not a table but {type(fields).__name__}")
    return letter_from(fields, envelope.body)


FORMS: dict[str, Form] = {
    # For stores that have a column for each part: the body as it is, the rest as one JSON object.
    "plain": Form(_pack_plain, _unpack_plain, _pack_plain_text),
}

_FAR = {"amqp": "umbel.wire.amqp", "kombu": "umbel.wire.kombu"}
"""The layouts that are loaded when they are first used: the module of each has ``pack``, ``unpack``, and ``pack_text``
where ``Form`` has it."""
