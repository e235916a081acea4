"""What a note of a task's progress holds, as bytes and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

MOST_TEXT = 500
"""Characters of a message, a label or a line of the log."""

MOST_LINES = 20
MOST_LINKS = 10

FAULT = "Something went wrong"


def write_note(facts: Mapping[str, Any]) -> bytes:
    """The facts that are not None, as JSON; they are such that it can hold."""
    return json.dumps({name: fact for name, fact in facts.items() if fact is not None}, separators=(",", ":")).encode()


def read_note(payload: bytes) -> dict[str, Any]:
    """The facts; none where the bytes are no note."""
    try:
        facts = json.loads(payload)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def text_of(value: Any, most: int = MOST_TEXT) -> str:
    """``value`` as a text of at most so many characters."""
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def number_of(value: Any) -> int | float | None:
    """``value`` as a number that JSON can hold; None for what is none."""
    if type(value) is int:
        return value if -(2**53) < value < 2**53 else None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def links_of(links: Iterable[Any]) -> list[list[str]]:
    """Pairs of a label and an address, to be shown on the pages of end users.

    Raises ``ValueError`` for an address that is not ``http``, ``https``, or a path of the page's own server: anything
    else could be a program.
    """
    found = []
    for label, address in links:
        address = str(address)
        if not address.startswith(("http://", "https://", "/")) or address.startswith(("//", "/\\")):
            raise ValueError(f"links: {address[:80]!r} must begin with http://, https://, or with / and a path")
        found.append([text_of(label), address])
    return found[:MOST_LINKS]


def public_error(error: BaseException | None, task_id: str, public: bool) -> dict[str, str]:
    """What end users see of a failure: its text if it is meant for them, else a reference for whoever reads the log."""
    if public and error is not None:
        return {"text": text_of(error)}
    return {"text": FAULT, "ref": task_id[-6:]}
