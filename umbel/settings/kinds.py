"""The kinds of value that a setting can have: what each accepts from Python and from text, and what it keeps."""

from __future__ import annotations

import difflib
import enum
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from typing import Any, Final


class Unset(enum.Enum):
    """The type of ``UNSET``."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET
"""Nobody chose; told apart from None, which is a choice."""


class Unfit(ValueError):
    """A value that a kind does not accept; the text, where there is one, is a hint for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """``expects`` completes "expected …" in an error.

    ``check`` takes a value from Python or TOML and returns what is kept; ``read`` takes a text from the environment
    or the command line and returns what ``check`` takes. Both raise ``Unfit``. ``private``: a refused value may hold
    a password, so it is not repeated in the error.
    """

    expects: str
    check: Callable[[Any], Any]
    read: Callable[[str], Any]
    private: bool = False


_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")


def _read_flag(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise Unfit("in a text: true, yes, on, 1, false, no, off or 0")
    return word in _TRUE


def _check_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit
    return value


FLAG = Kind("True or False", _check_flag, _read_flag)


def whole(least: int, most: int | None = None) -> Kind:
    """A whole number from ``least`` to ``most``, both included."""

    def check(value: Any) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < least
            or (most is not None and value > most)
        ):
            raise Unfit
        return value

    def read(text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise Unfit from None

    expects = f"a whole number from {least} up" if most is None else f"a whole number from {least} to {most}"
    return Kind(expects, check, read)


def _read_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Unfit from None


def seconds(*, zero: bool) -> Kind:
    """A duration, kept as float seconds; a timedelta is taken too. ``zero`` says whether 0 is one."""

    def check(value: Any) -> float:
        number = value.total_seconds() if isinstance(value, timedelta) else value
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise Unfit
        if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
            raise Unfit
        return float(number)

    return Kind(f"a number of seconds (or a timedelta), {'0 or more' if zero else 'more than 0'}", check, _read_number)


def expiry() -> Kind:
    """A duration where 0 and None both say "never", kept as float seconds or None."""
    inner = optional(seconds(zero=True))
    return Kind(inner.expects, lambda value: inner.check(value) or None, inner.read)


def _check_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Unfit
    return value


TEXT = Kind("a text that is not empty", _check_text, str)


def choice(*words: str, aliases: Mapping[str, str] | None = None, fold: Callable[[str], str] = str.lower) -> Kind:
    """One of ``words``, in any case; an alias is kept as the word it stands for."""
    also = aliases or {}

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Unfit
        word = fold(value.strip())
        word = also.get(word, word)
        if word not in words:
            near = difflib.get_close_matches(word, [*words, *also], n=1, cutoff=0.5)
            raise Unfit(f"did you mean {near[0]!r}?" if near else "")
        return word

    return Kind(f"one of {', '.join(map(repr, words))}", check, str)


def _check_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise Unfit(f"a list of one is written [{value!r}]")
    if not isinstance(value, Collection) or isinstance(value, Mapping):
        raise Unfit
    items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
    return tuple(_check_text(item) for item in items)


NAMES = Kind(
    "a list of texts (separated by commas where it is given as text)",
    _check_names,
    lambda text: [item.strip() for item in text.split(",") if item.strip()],
)


def _check_url(value: Any) -> str:
    if not isinstance(value, str) or not _SCHEME.match(value):
        raise Unfit
    return value


URL = Kind(
    "a URL that starts with its scheme, such as sqlite:////srv/shop/umbel.db", _check_url, str.strip, private=True
)


def _check_zone(value: Any) -> str:
    name = getattr(value, "key", None) if isinstance(value, tzinfo) else value
    if value is UTC or name == "UTC":
        return "UTC"  # known to every machine, with or without a time zone database
    if not isinstance(name, str):
        raise Unfit
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise Unfit("no such time zone on this machine (where it has none at all: pip install tzdata)") from None
    return name


ZONE = Kind("the name of a time zone, such as 'Europe/Vienna'", _check_zone, str.strip)


def optional(kind: Kind) -> Kind:
    """``kind`` or None; in a text None is written ``none``."""

    def check(value: Any) -> Any:
        return None if value is None else kind.check(value)

    def read(text: str) -> Any:
        return None if text.strip().lower() == "none" else kind.read(text)

    return Kind(f"{kind.expects}, or None", check, read, kind.private)


def unset_or(kind: Kind) -> Kind:
    """``kind``, or ``UNSET`` from Python."""
    return Kind(kind.expects, lambda value: UNSET if value is UNSET else kind.check(value), kind.read, kind.private)
