"""Text that shows a value to people: like ``repr``, but bounded, and it never raises."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

BUDGET = 1024
"""Characters of a representation; a few more may come, for the closing brackets."""

MAX_NESTING = 12
"""Containers nested deeper are shown as ``...``."""

_SHORT = 200
_FEW = 12
_SCALARS = frozenset({int, float, bool, type(None)})


def safe_repr(value: Any, budget: int = BUDGET) -> str:
    """``repr(value)``, cut with ``...`` after about ``budget`` characters.

    A huge container or string is not represented whole to be cut afterwards. What cannot be represented says so in
    its place.
    """
    if not value and type(value) in (tuple, dict):
        return "()" if type(value) is tuple else "{}"
    if _is_small(value):
        try:
            text = repr(value)
        except ValueError:  # an integer of more digits than Python is willing to write
            text = ""
        if text and len(text) <= budget:
            return text
    shown = _Text(budget)
    with suppress(_Full):
        shown.add(value)
    return "".join(shown.pieces)


def sort_of(value: Any) -> str:
    """What a value is, for errors that must not tell the value itself: somebody's arguments, in somebody's log."""
    if value is None:
        return "null"
    if isinstance(value, (str, bytes, list, tuple, dict)):
        return f"{type(value).__name__} of length {len(value)}"
    return type(value).__name__


def _is_small(value: Any) -> bool:
    """Whether ``repr`` may be called: a short list, tuple or dict of numbers and short strings."""
    kind = type(value)
    if kind is dict:
        if len(value) > _FEW:
            return False
        for key in value:
            if type(key) is not str or len(key) > _SHORT:
                return False
        value = value.values()
    elif (kind is not tuple and kind is not list) or len(value) > _FEW:
        return False
    for part in value:
        kind = type(part)
        if kind is str:
            if len(part) > _SHORT:
                return False
        elif kind not in _SCALARS:
            return False
    return True


class _Full(Exception):
    """The budget is used up: what is open is closed, and nothing more is written."""


class _Text:
    """A text that grows to its budget; ``pieces`` is what it has so far."""

    def __init__(self, budget: int) -> None:
        self.pieces: list[str] = []
        self._room = budget
        self._above: list[int] = []

    def add(self, value: Any) -> None:
        """Write any value. Raises ``_Full`` when it had to be cut."""
        kind = type(value)
        if kind is str or kind is bytes or kind is bytearray:
            self._put(repr(value[: self._room + 1]))
            return
        brackets = _brackets(value)
        if brackets is None:
            self._put(_own(value))
        elif id(value) in self._above or len(self._above) >= MAX_NESTING:
            self._put(f"{brackets[0]}...{brackets[1]}")
        else:
            self._put(brackets[0])
            self._above.append(id(value))
            try:
                self._add_parts(value)
            finally:
                self._above.pop()
                self.pieces.append(brackets[1])

    def _add_parts(self, value: Any) -> None:
        try:
            count = 0
            for part in value.items() if isinstance(value, dict) else value:
                if count:
                    self._put(", ")
                count += 1
                if isinstance(value, dict):
                    key, part = part
                    self.add(key)
                    self._put(": ")
                self.add(part)
            if count == 1 and isinstance(value, tuple):
                self._put(",")
        except _Full:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a user's container may fail to be walked in any way
            self._put(_unrepresentable(value, error))

    def _put(self, text: str) -> None:
        if len(text) > self._room:
            self.pieces.append(f"{text[: self._room]}...")
            raise _Full
        self.pieces.append(text)
        self._room -= len(text)


def _brackets(value: Any) -> tuple[str, str] | None:
    if isinstance(value, dict):
        return "{", "}"
    if isinstance(value, list):
        return "[", "]"
    if isinstance(value, tuple):
        return "(", ")"
    if isinstance(value, (set, frozenset)) and value:
        return ("frozenset({", "})") if isinstance(value, frozenset) else ("{", "}")
    return None


def _own(value: Any) -> str:
    try:
        text = repr(value)
        # A subclass of str may do anything when it is cut or joined.
        return text if type(text) is str else str.__str__(text)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the value's own code
        return _unrepresentable(value, error)


def _unrepresentable(value: Any, error: BaseException) -> str:
    return f"<{type(value).__name__} without a repr: {type(error).__name__}>"
