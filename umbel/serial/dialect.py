"""JSON text as it travels: in ASCII, and with typed values for what JSON itself cannot say.

``{"__type__": T, "__value__": V}``, an object of exactly these two keys, is a typed value; T is one of datetime, date,
time, decimal, uuid, bytes, base64. An object that has a ``__json__()`` method is written as what that returns.
"""

from __future__ import annotations

import json.encoder
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from json import JSONDecoder, JSONEncoder
from typing import Any

from umbel.errors import DecodeError, EncodeError
from umbel.serial.blame import NoWord, in_short, unwritable

MAX_DEPTH = 3000
"""JSON nested deeper than this is not read, however high the interpreter's recursion limit was set."""


MAX_CONTAINERS = 2**22
"""Lists and tables in one text: an empty one takes two or three bytes there, and some thirty times as much here."""

MAX_DIGITS = 100_000
"""Digits of a number, however many the interpreter was told to read: the time for one grows with their square."""


def write_json(value: Any, name: str = "value") -> str:
    """``value`` as JSON text, with ``", "`` and ``": "`` between.

    Raises ``EncodeError`` that says which part cannot be written; ``name`` is what it calls the whole.
    """
    try:
        return _write(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise unwritable(value, name, "json", _write, error) from error


def write_sorted(value: Any) -> str:
    """``value``, which was read from JSON, as the one text that all equal values have: keys sorted, no spaces, ASCII.

    Raises ``EncodeError`` when it is nested too deeply.
    """
    try:
        return _write_sorted(value)
    except RecursionError as error:
        raise EncodeError("value: nested too deeply for json") from error


def read_json(text: str, field: str) -> Any:
    """The value of a JSON text, typed values brought back. Raises ``DecodeError`` that calls the text ``field``."""
    # The hook costs a call for each object, so it is used only where the text may hold a typed value. The letters of
    # the key may be written as escapes, all of which begin with these four characters; the first alone is found fast.
    typed = "__type__" in text or ("\\" in text and "\\u00" in text)
    try:
        if sys.getrecursionlimit() > MAX_DEPTH:
            _refuse_depth(text)
        if len(text) > MAX_DIGITS:
            _refuse_numbers_and_masses(text)
        value, end = (_scan_typed if typed else _scan)(text, 0)
        if end == len(text):
            return value
        # White space at the end, or something that does not belong.
        return (_TYPED if typed else _UNTYPED).decode(text)
    except StopIteration:
        return _read_spaced(text, field, _TYPED if typed else _UNTYPED)
    except RecursionError as error:
        raise DecodeError(field, "is nested too deeply") from error
    except ValueError as error:
        raise DecodeError(field, f"cannot be read as JSON: {in_short(error)}") from error


def _read_spaced(text: str, field: str, decoder: JSONDecoder) -> Any:
    """The value of a text that does not begin with one: white space first, or no JSON."""
    stripped = text.lstrip(" \t\n\r")
    if stripped == text:
        raise DecodeError(field, f"cannot be read as JSON: it begins with {text[:20]!r}")
    return read_json(stripped, field)


def _plain(value: Any) -> Any:
    """What JSON has no form for, in forms that it has; the encoder calls it. ``NoWord`` when there is none."""
    own = getattr(value, "__json__", None)
    if own is not None:
        try:
            return own()
        except Exception as error:  # the value's own code, which may raise anything
            raise TypeError(f"its __json__ method raised {in_short(error)}") from error
    if isinstance(value, datetime):
        return {"__type__": "datetime", "__value__": value.isoformat()}
    if isinstance(value, date):
        return {"__type__": "date", "__value__": value.isoformat()}
    if isinstance(value, time):
        return {"__type__": "time", "__value__": value.isoformat()}
    if isinstance(value, bytes):
        try:
            return {"__type__": "bytes", "__value__": value.decode()}
        except UnicodeDecodeError:
            return {"__type__": "base64", "__value__": b64encode(value).decode()}
    return _plain_rare(value)


def _plain_rare(value: Any) -> Any:
    """The rest of ``_plain``: types whose modules are imported only when one may be met."""
    from decimal import Decimal
    from uuid import UUID

    if isinstance(value, Decimal):
        return {"__type__": "decimal", "__value__": str(value)}
    if isinstance(value, UUID):
        return {"__type__": "uuid", "__value__": {"hex": value.hex}}
    # A lazily translated string of Django: who has one has imported this module.
    lazy = getattr(sys.modules.get("django.utils.functional"), "Promise", None)
    if lazy is not None and isinstance(value, lazy):
        return str(value)
    raise NoWord(f"{type(value)} has no form in JSON")


def _revive(found: dict[str, Any]) -> Any:
    """A typed value from its object; any other object as it is. ``ValueError`` for a type that does not exist."""
    if len(found) != 2 or "__type__" not in found or "__value__" not in found:
        return found
    name, value = found["__type__"], found["__value__"]
    reader = _REVIVERS.get(name) if isinstance(name, str) else None
    if reader is None:
        raise ValueError(f"unknown __type__ {name!r:.80}")
    try:
        return reader(value)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{name} cannot be read from its __value__: {in_short(error)}") from error


def _decimal(value: Any) -> Any:
    from decimal import Decimal

    return Decimal(value)


def _uuid(value: Any) -> Any:
    from uuid import UUID

    return UUID(hex=value["hex"], version=value.get("version"))


_REVIVERS: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda value: datetime.fromisoformat(value).date(),
    "time": time.fromisoformat,
    "decimal": _decimal,
    "uuid": _uuid,
    "bytes": str.encode,
    "base64": b64decode,
}

_TYPED = JSONDecoder(object_hook=_revive)
_UNTYPED = JSONDecoder()
_scan_typed: Callable[[str, int], tuple[Any, int]] = _TYPED.scan_once  # type: ignore[attr-defined]
_scan: Callable[[str, int], tuple[Any, int]] = _UNTYPED.scan_once  # type: ignore[attr-defined]

_careful = JSONEncoder(default=_plain).encode


def _writer() -> Callable[[Any], str]:
    """``JSONEncoder.encode`` without what that builds anew for each call: 0.3 µs for a small value instead of 2."""
    chunks = _chunks(": ", ", ", in_order=False)
    if chunks is None:
        return _careful
    # What contains itself ends at the recursion limit; where that was raised beyond what the C stack holds, the
    # careful way finds it.
    limit = sys.getrecursionlimit

    def write(value: Any) -> str:
        return "".join(chunks(value, 0)) if limit() <= MAX_DEPTH else _careful(value)

    return write


def _sorted_writer() -> Callable[[Any], str]:
    chunks = _chunks(":", ",", in_order=True)
    if chunks is None:
        return JSONEncoder(default=_plain, sort_keys=True, separators=(",", ":")).encode
    return lambda value: "".join(chunks(value, 0))


def _chunks(colon: str, comma: str, *, in_order: bool) -> Callable[[Any, int], Iterable[str]] | None:
    """What writes values in pieces; without a table of open containers, so that one serves all threads."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return None
    made: Callable[[Any, int], Iterable[str]] = make(
        None, _plain, json.encoder.encode_basestring_ascii, None, colon, comma, in_order, False, True
    )
    return made


_write = _writer()
_write_sorted = _sorted_writer()

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_LONG_NUMBER = re.compile(rf"(?<![0-9])[0-9]{{{MAX_DIGITS}}}[0-9]")


def _refuse_numbers_and_masses(text: str) -> None:
    """Raise ``ValueError`` for a text that would take far more time, or memory, than its length lets expect."""
    digits = sys.get_int_max_str_digits()
    if (digits == 0 or digits > MAX_DIGITS) and _LONG_NUMBER.search(text):
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    if len(text) <= 2 * MAX_CONTAINERS or text.count("[") + text.count("{") <= MAX_CONTAINERS:
        return
    bare = _STRING.sub("", text)
    if bare.count("[") + bare.count("{") > MAX_CONTAINERS:
        raise ValueError(f"more than {MAX_CONTAINERS} lists and tables")


_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


def _refuse_depth(text: str) -> None:
    """Raise ``RecursionError`` for a text nested so deeply that reading it could exhaust the C stack."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        mark = found[0]
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise RecursionError
        elif mark in "]}":
            depth -= 1
