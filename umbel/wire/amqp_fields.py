"""Values of AMQP 0-9-1 as bytes and back: short strings, and tables as RabbitMQ types them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from umbel.errors import DecodeError, EncodeError
from umbel.wire.names import HEADERS

MAX_DEPTH = 32
"""Tables and arrays in one another; more is neither written nor read."""

_LONG = struct.Struct(">I")
_INT = struct.Struct(">i")
_BIG = struct.Struct(">q")
_DOUBLE = struct.Struct(">d")
_DECIMAL = struct.Struct(">Bi")

_SCALARS: dict[int, tuple[struct.Struct, Callable[[Any], Any]]] = {
    ord("t"): (struct.Struct(">?"), bool),
    ord("b"): (struct.Struct(">b"), int),
    ord("B"): (struct.Struct(">B"), int),
    ord("s"): (struct.Struct(">h"), int),
    ord("u"): (struct.Struct(">H"), int),
    ord("I"): (_INT, int),
    ord("i"): (_LONG, int),
    ord("l"): (_BIG, int),
    ord("L"): (_BIG, int),
    ord("f"): (struct.Struct(">f"), float),
    ord("d"): (_DOUBLE, float),
}
"""Type byte → how the value is laid out. ``s`` and ``l`` mean what RabbitMQ means by them."""


def short_string(text: str) -> bytes:
    """A text of at most 255 bytes, its length before it; raises ``EncodeError`` for more."""
    data = text.encode()
    if len(data) > 255:
        raise EncodeError(f"{text[:40]!r}… has {len(data)} bytes, and AMQP has room for 255")
    return bytes((len(data),)) + data


_KEYS = {name: short_string(name) for name in HEADERS}
"""The names that nearly every table has, as bytes."""


def table(values: Mapping[str, Any], depth: int = 0) -> bytes:
    """A table with its length before it; raises ``EncodeError`` for what AMQP has no type for."""
    parts = bytearray()
    for name, value in values.items():
        parts += _KEYS.get(name) or _key(name)
        if value is None:
            parts += b"V"
        elif type(value) is str:
            data = value.encode()
            parts += b"S" + _LONG.pack(len(data)) + data
        else:
            _put(parts, name, value, depth)
    return _LONG.pack(len(parts)) + parts


def _key(name: object) -> bytes:
    if not isinstance(name, str):
        raise EncodeError(f"headers: the key {name!r:.80} is not a text")
    return short_string(name)


def _put(parts: bytearray, name: str, value: Any, depth: int) -> None:
    kind = type(value)
    if kind is str:
        data = value.encode()
        parts += b"S" + _LONG.pack(len(data)) + data
    elif value is None:
        parts += b"V"
    elif kind is bool:
        parts += b"t\x01" if value else b"t\x00"
    elif kind is int:
        if -(2**31) <= value < 2**31:
            parts += b"I" + _INT.pack(value)
        elif -(2**63) <= value < 2**63:
            parts += b"l" + _BIG.pack(value)
        else:
            raise EncodeError(f"headers.{name}: {value:.3e} is beyond the 64 bits of AMQP's numbers")
    elif kind is list or kind is tuple or kind is dict:
        _put_many(parts, name, value, depth + 1)
    elif kind is float:
        parts += b"d" + _DOUBLE.pack(value)
    else:
        _put_rare(parts, name, value, depth)


def _put_many(parts: bytearray, name: str, value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise EncodeError(f"headers.{name}: more than {MAX_DEPTH} tables and lists in one another")
    if isinstance(value, Mapping):
        parts += b"F" + table(value, depth)
        return
    inside = bytearray()
    for entry in value:
        _put(inside, name, entry, depth)
    parts += b"A" + _LONG.pack(len(inside)) + inside


def _put_rare(parts: bytearray, name: str, value: Any, depth: int) -> None:
    if isinstance(value, bytes | bytearray):
        parts += b"x" + _LONG.pack(len(value)) + value
    elif isinstance(value, datetime):
        parts += b"T" + _BIG.pack(int(value.timestamp()))
    elif isinstance(value, Decimal) and value.is_finite():
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        number = int("".join(map(str, digits))) * 10 ** max(0, exponent) * (-1 if sign else 1)
        try:
            parts += b"D" + _DECIMAL.pack(max(0, -exponent), number)
        except struct.error as error:
            raise EncodeError(f"headers.{name}: {value!r} has more digits than AMQP's decimals") from error
    elif isinstance(value, str | bool | int | float):
        plain = next(kind for kind in (str, bool, int, float) if isinstance(value, kind))
        _put(parts, name, plain(value), depth)
    elif isinstance(value, Mapping | list | tuple):
        _put_many(parts, name, value, depth + 1)
    else:
        raise EncodeError(f"headers.{name}: AMQP has no type for {type(value).__name__}; send a text")


_NAMES = {key[1:]: name for name, key in _KEYS.items()}


def read_short_string(data: bytes, at: int, name: str) -> tuple[str, int]:
    """The text at ``at`` and where the next value begins; raises ``DecodeError`` that names it."""
    try:
        end = at + 1 + data[at]
    except IndexError:
        raise DecodeError(name, "is cut off") from None
    if end > len(data):
        raise DecodeError(name, "is cut off")
    try:
        return data[at + 1 : end].decode(), end
    except UnicodeDecodeError:
        raise DecodeError(name, "is not UTF-8") from None


def read_table(data: bytes, at: int, name: str, depth: int = 0) -> tuple[dict[str, Any], int]:
    """The table at ``at`` and where the next value begins; raises ``DecodeError`` that names what is wrong."""
    at, end = _span(data, at, name)
    found: dict[str, Any] = {}
    while at < end:
        start = at + 1
        at = start + data[at]
        key = _NAMES.get(data[start:at])
        if key is None:
            key, at = read_short_string(data, start - 1, name)
        kind = data[at] if at < end else 0
        if kind == 0x56:  # V: most values are none
            found[key] = None
            at += 1
        elif kind == 0x53 and at + 5 <= end:  # S: most others are texts
            start = at + 5
            at = start + _LONG.unpack_from(data, at + 1)[0]
            if at > end:
                raise DecodeError(key, "is cut off")
            try:
                found[key] = data[start:at].decode()
            except UnicodeDecodeError:
                raise DecodeError(key, "is not UTF-8") from None
        else:
            found[key], at = _take(data, at, end, key, depth)
    if at != end:
        raise DecodeError(name, "is longer than it says")
    return found, end


def _span(data: bytes, at: int, name: str) -> tuple[int, int]:
    """Where what is of the length at ``at`` begins and ends."""
    if at + 4 > len(data):
        raise DecodeError(name, "is cut off")
    end = at + 4 + _LONG.unpack_from(data, at)[0]
    if end > len(data):
        raise DecodeError(name, "is cut off")
    return at + 4, end


def _take(data: bytes, at: int, end: int, name: str, depth: int) -> tuple[Any, int]:
    if at >= end:
        raise DecodeError(name, "is cut off")
    kind = data[at]
    at += 1
    if kind == 0x53:  # S
        start, at = _span(data, at, name)
        try:
            return data[start:at].decode(), at
        except UnicodeDecodeError:
            raise DecodeError(name, "is not UTF-8") from None
    if kind == 0x56:  # V
        return None, at
    if kind == 0x46 or kind == 0x41:  # F, A
        if depth >= MAX_DEPTH:
            raise DecodeError(name, f"has more than {MAX_DEPTH} tables and lists in one another")
        return read_table(data, at, name, depth + 1) if kind == 0x46 else _take_array(data, at, name, depth + 1)
    scalar = _SCALARS.get(kind)
    try:
        if scalar is not None:
            layout, plain = scalar
            return plain(layout.unpack_from(data, at)[0]), at + layout.size
        return _take_rare(data, at, kind, name)
    except struct.error:
        raise DecodeError(name, "is cut off") from None


def _take_array(data: bytes, at: int, name: str, depth: int) -> tuple[list[Any], int]:
    at, end = _span(data, at, name)
    found = []
    while at < end:
        value, at = _take(data, at, end, name, depth)
        found.append(value)
    if at != end:
        raise DecodeError(name, "is longer than it says")
    return found, end


def _take_rare(data: bytes, at: int, kind: int, name: str) -> tuple[Any, int]:
    if kind == 0x78:  # x
        start, at = _span(data, at, name)
        return data[start:at], at
    if kind == 0x54:  # T
        try:
            return datetime.fromtimestamp(_BIG.unpack_from(data, at)[0], UTC), at + 8
        except (ValueError, OverflowError, OSError):
            raise DecodeError(name, "is a time beyond the calendar") from None
    if kind == 0x44:  # D
        scale, number = _DECIMAL.unpack_from(data, at)
        return Decimal(number).scaleb(-scale), at + 5
    raise DecodeError(name, f"is of the type {chr(kind)!a}, which AMQP does not have")
