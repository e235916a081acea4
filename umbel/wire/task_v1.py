"""Reads the body of a task message of protocol 1, where everything stands in one table, as the parts of protocol 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from umbel.errors import DecodeError
from umbel.wire.names import HEADERS
from umbel.wire.reprs import sort_of


def parts(headers: Mapping[str, Any], content: Any) -> tuple[dict[str, Any], Any, Any, dict[str, Any]]:
    """Headers, args, kwargs and links as protocol 2 has them.

    ``headers`` of the message, which protocol 1 leaves empty, win over what the body says. Raises ``DecodeError`` when
    the body is no such table.
    """
    if not isinstance(content, dict):
        raise DecodeError("task", f"missing from the headers, and the body is {sort_of(content)}, not a table")
    if "task" not in content and "args" not in content:
        raise DecodeError("body", f"is {sort_of(content)} and must be args, kwargs and links")
    told = {name: content[name] for name in HEADERS if name in content}
    if told.get("group") is None:
        told["group"] = content.get("taskset")
    args, kwargs = content.get("args"), content.get("kwargs")
    embed = {
        "callbacks": content.get("callbacks"),
        "errbacks": content.get("errbacks"),
        "chain": content.get("chain"),
        "chord": content.get("chord"),
    }
    return {**told, **headers}, [] if args is None else args, {} if kwargs is None else kwargs, embed
