"""How long a message's head and the names in it may be, and which characters a name may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_HEAD = 2**20
"""Bytes of headers and properties as JSON; a message with more is neither sent nor read."""

MAX_NAME = 1024
"""Characters of a task's name, an id, or another name that stores and brokers use as a key."""

NAMES = ("task", "id", "root_id", "parent_id", "group", "shadow")


def odd_name(headers: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[str, str] | None:
    """The first name that is too long, or that stores cannot keep, as it is called, and what is wrong with it."""
    found = [(name, headers.get(name)) for name in NAMES]
    for name, value in (*found, ("reply_to", properties.get("reply_to"))):
        if type(value) is not str:
            continue
        if len(value) > MAX_NAME:
            return name, f"has {len(value)} characters, at most {MAX_NAME} are possible"
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                return name, f"is {value[:80]!a}, which has half of a surrogate pair: no character at all"
        if "\0" in value:
            return name, f"is {value[:80]!a}, and must not contain a NUL character"
    return None
