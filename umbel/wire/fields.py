"""Checks what stands in a message's headers and body, and makes the ``Message`` of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from operator import itemgetter
from typing import Any

from umbel.errors import DecodeError
from umbel.model import NO_LINKS, Links, Message
from umbel.wire import marks
from umbel.wire.names import FOREIGN_HEADERS, HEADERS, LINKS, PROPERTIES, RESERVED_HEADERS
from umbel.wire.reprs import safe_repr, sort_of
from umbel.wire.swift import maker

MAX_HEADERS = 1000
"""A message with more headers is refused."""

MAX_SECONDS = 1e11
"""A longer time limit, some three thousand years, is taken for an error."""

MAX_INTEGER = 2**31 - 1
"""What others keep in four bytes; a larger number is taken for an error."""

_NOT_THE_USERS = RESERVED_HEADERS | FOREIGN_HEADERS
_NOT_THE_USERS_PROPERTIES = PROPERTIES | {"delivery_mode"}
_ABSENT: dict[str, Any] = dict.fromkeys(HEADERS)
_NO_EMBED: dict[str, Any] = dict.fromkeys(LINKS)
_NO_LIMITS = [None, None]
_all_headers = itemgetter(*HEADERS)


_message = maker(
    Message,
    (
        "task",
        "id",
        "args",
        "kwargs",
        "root_id",
        "parent_id",
        "group",
        "group_index",
        "retries",
        "eta",
        "expires",
        "time_limit",
        "soft_time_limit",
        "shadow",
        "ignore_result",
        "priority",
        "reply_to",
        "origin",
        "argsrepr",
        "kwargsrepr",
        "replaced_task_nesting",
        "stamped_headers",
        "stamps",
        "headers",
        "marks",
        "properties",
        "serializer",
        "compression",
        "links",
    ),
)


def message_from(
    headers: Mapping[str, Any],
    properties: Mapping[str, Any],
    args: Any,
    kwargs: Any,
    embed: Any,
    serializer: str,
    compression: str | None,
) -> Message:
    """The message that headers, properties and the three parts of a body describe.

    Headers other than ``task`` and ``id`` may be absent. Raises ``DecodeError`` that names the field which is missing
    or of the wrong type.
    """
    further = len(headers) > len(HEADERS)
    try:
        row = _all_headers(headers)
    except KeyError:
        row, further = _all_headers({**_ABSENT, **headers}), True
    own, ours = _further_headers(headers) if further else (None, {})
    _, task, id, shadow, eta, expires, group, group_index, retries, timelimit, *row = row
    root_id, parent_id, argsrepr, kwargsrepr, origin, ignore_result, nesting, stamped_headers, stamps = row
    hard, soft = (None, None) if timelimit is None or timelimit == _NO_LIMITS else _limits(timelimit)
    priority, reply_to = properties.get("priority"), properties.get("reply_to")
    # The usual type is asked for in place: a call costs as much as all of this line.
    return _message(
        task if type(task) is str and task else _required("task", task),
        id if type(id) is str and id else _required("id", id),
        args if type(args) is list else _arguments(args),
        kwargs if type(kwargs) is dict and not kwargs else _keywords(kwargs),
        root_id if root_id is None or type(root_id) is str else _text("root_id", root_id),
        parent_id if parent_id is None or type(parent_id) is str else _text("parent_id", parent_id),
        group if group is None or type(group) is str else _text("group", group),
        None if group_index is None else _integer("group_index", group_index),
        retries if type(retries) is int and retries == 0 else _count("retries", retries),
        None if eta is None else moment("eta", eta),
        None if expires is None else moment("expires", expires),
        hard,
        soft,
        shadow if shadow is None or type(shadow) is str else _text("shadow", shadow),
        ignore_result if type(ignore_result) is bool else _boolean("ignore_result", ignore_result),
        priority if type(priority) is int and 0 <= priority < 10 else _priority(priority),
        reply_to if type(reply_to) is str else _text("reply_to", reply_to or ""),
        origin if type(origin) is str else _shown(origin),
        argsrepr if type(argsrepr) is str else _shown(argsrepr),
        kwargsrepr if type(kwargsrepr) is str else _shown(kwargsrepr),
        nesting if type(nesting) is int and nesting == 0 else _count("replaced_task_nesting", nesting),
        None if stamped_headers is None else _texts("stamped_headers", stamped_headers),
        stamps if type(stamps) is dict else _table("stamps", stamps),
        own,
        ours,
        _users_properties(properties),
        serializer,
        compression,
        NO_LINKS if embed == _NO_EMBED else links_from(embed),
    )


def links_from(embed: Any) -> Links:
    """The links in the third part of a body, which may be None; raises ``DecodeError`` that names a wrong one."""
    if embed is None:
        return NO_LINKS
    if type(embed) is not dict:
        raise _hidden("embed", embed, "a table or null")
    if embed == _NO_EMBED:
        return NO_LINKS
    callbacks, errbacks, chain, chord = map(embed.get, LINKS)
    if callbacks is errbacks is chain is chord is None:
        return NO_LINKS
    for name, signatures in (("callbacks", callbacks), ("errbacks", errbacks), ("chain", chain)):
        if signatures is not None and not (
            isinstance(signatures, (list, tuple)) and all(isinstance(signature, dict) for signature in signatures)
        ):
            raise _hidden(f"embed.{name}", signatures, "a list of signatures or null")
    if chord is not None and not isinstance(chord, dict):
        raise _hidden("embed.chord", chord, "a signature or null")
    return Links(callbacks, errbacks, chain, chord)


def moment(field: str, value: Any) -> datetime:
    """The aware time that an ISO 8601 text means, in any of its shapes; without an offset it is in UTC."""
    if isinstance(value, datetime):
        found = value
    elif type(value) is str:
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            found = _rare_moment(field, value)
    else:
        raise _wrong(field, value, "an ISO 8601 text or null")
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


_MONTH = re.compile(r"(\d{4})(?:-(\d\d))?")
_DAY_OF_YEAR = re.compile(r"(\d{4})-?(\d{3})(?:([T ].*))?")
_MIDNIGHT = re.compile(r"(.+[T ])24(:?00(?::?00(?:[.,]0+)?)?)?((?:Z|[+-][\d:]+)?)")


def _rare_moment(field: str, value: str) -> datetime:
    """The shapes that ``datetime.fromisoformat`` does not read: year, month, day of the year, and 24:00."""
    try:
        if found := _MONTH.fullmatch(value):
            return datetime(int(found[1]), int(found[2] or 1), 1, tzinfo=UTC)
        if found := _DAY_OF_YEAR.fullmatch(value):
            day = date(int(found[1]), 1, 1) + timedelta(days=int(found[2]) - 1)
            if day.year == int(found[1]):
                return datetime.fromisoformat(f"{day.isoformat()}{found[3] or ''}")
        if found := _MIDNIGHT.fullmatch(value):
            return datetime.fromisoformat(f"{found[1]}00{found[2] or ''}{found[3]}") + timedelta(days=1)
    except (ValueError, OverflowError):
        pass
    raise _wrong(field, value, "an ISO 8601 time")


def _further_headers(headers: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The user's own headers, None without any, and umbel's marks."""
    if len(headers) > MAX_HEADERS:
        raise DecodeError("headers", f"{len(headers)} of them, at most {MAX_HEADERS} are read")
    own, ours = {}, {}
    for name, value in headers.items():
        if name in _NOT_THE_USERS:
            continue
        if not name.startswith(marks.PREFIX):
            own[name] = value
        elif name not in marks.OF_THE_BYTES:
            ours[name] = marks.read(name, value)
    return own or None, ours


def _users_properties(properties: Mapping[str, Any]) -> dict[str, Any]:
    # Compared only with its own kind: some typed values refuse to be compared.
    mode = properties.get("delivery_mode", 2)
    persistent = type(mode) is int and mode == 2
    if persistent and _NOT_THE_USERS_PROPERTIES.issuperset(properties):
        return {}
    own = {name: value for name, value in properties.items() if name not in PROPERTIES}
    if persistent:
        own.pop("delivery_mode", None)
    return own


def _arguments(args: Any) -> Any:
    if isinstance(args, (list, tuple)):
        return args
    raise _hidden("args", args, "a list")


def _keywords(kwargs: Any) -> Any:
    if not isinstance(kwargs, dict):
        raise _hidden("kwargs", kwargs, "a table")
    for name in kwargs:
        if not isinstance(name, str):
            raise _wrong("kwargs", name, "a table whose names are text")
    return kwargs


def _limits(value: Any) -> tuple[float | None, float | None]:
    """Seconds; on the wire the hard limit stands first."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise _wrong("timelimit", value, "a pair of numbers of seconds or nulls")
    for limit in value:
        # The comparison is false for what is not a number, too.
        if limit is not None and (type(limit) not in (int, float) or not 0 <= limit <= MAX_SECONDS):
            raise _wrong("timelimit", value, "a pair of numbers of seconds or nulls")
    return value[0], value[1]


def _required(field: str, value: Any) -> str:
    if value is None:
        raise DecodeError(field, "missing")
    if type(value) is not str or not value:
        raise _wrong(field, value, "a text that is not empty")
    return value


def _text(field: str, value: Any) -> str:
    if type(value) is not str:
        raise _wrong(field, value, "text or null")
    return value


def _texts(field: str, value: Any) -> list[str]:
    if not isinstance(value, (list, tuple)) or not all(type(part) is str for part in value):
        raise _wrong(field, value, "a list of texts or null")
    return list(value)


def _table(field: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(field, value, "a table or null")
    return value


def _integer(field: str, value: Any) -> int:
    if type(value) is not int or not -MAX_INTEGER <= value <= MAX_INTEGER:
        raise _wrong(field, value, "a whole number or null")
    return value


def _priority(value: Any) -> int | None:
    return None if value is None else _integer("priority", value)


def _count(field: str, value: Any) -> int:
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise _wrong(field, value, "a whole number from 0 or null")
    return value


def _boolean(field: str, value: Any) -> bool:
    if value is None:
        return False
    if type(value) is not bool:
        raise _wrong(field, value, "true, false or null")
    return value


def _shown(value: Any) -> str | None:
    """What only people read: a sender that writes it in another type loses nothing by that."""
    return value if value is None or type(value) is str else safe_repr(value)


def _hidden(field: str, value: Any, wanted: str) -> DecodeError:
    """``_wrong`` for what the sealed or redacted part of a message holds: the value is not told."""
    return DecodeError(field, f"is {sort_of(value)} and must be {wanted}")


def _wrong(field: str, value: Any, wanted: str) -> DecodeError:
    return DecodeError(field, f"is {safe_repr(value, 80)} and must be {wanted}")
