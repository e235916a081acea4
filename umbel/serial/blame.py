"""Finds which part of a value is the one that a serializer cannot write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from umbel.errors import EncodeError

MAX_STEPS = 50
"""So deep is searched; the error then names the part reached."""


class NoWord(TypeError):
    """A value of a type that the serializer has no form for: its class says it all."""


def unwritable(
    value: Any, name: str, serializer: str, write: Callable[[Any], object], error: Exception, steps: int = MAX_STEPS
) -> EncodeError:
    """The error to raise because ``write(value)`` raised ``error``: it names the innermost part that fails alone.

    ``name`` is what the whole value is called; ``steps`` is 0 for a serializer that knows no containers.
    """
    place = name
    for _ in range(steps):
        if isinstance(error, RecursionError):
            return EncodeError(f"{place}: nested too deeply for {serializer}, or contains itself")
        for step, part in _parts(value):
            try:
                write(part)
            except Exception as inner:  # noqa: BLE001 - whatever the values' own code raises, it is the finding
                place, value, error = f"{place}{step}", part, inner
                break
        else:
            break
    reason = "" if isinstance(error, NoWord) else f" ({in_short(error)})"
    advice = "convert it first, or give its class a __json__ method" if serializer == "json" else "convert it first"
    return EncodeError(f"{place}: cannot write {type(value)} as {serializer}{reason}; {advice}")


def in_short(error: BaseException) -> str:
    """Type and first line of an error's text, at most 200 characters of it."""
    lines = str(error).split("\n", 1)
    return f"{type(error).__name__}: {lines[0][:200]}"


def _parts(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        return ((f"[{index}]", part) for index, part in enumerate(value))
    if isinstance(value, dict):
        return ((f"[{key!r:.80}]", part) for key, part in value.items())
    return ()
