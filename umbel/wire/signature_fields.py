"""Reads the fields of signatures; errors name the one that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from umbel.errors import DecodeError
from umbel.wire.fields import moment
from umbel.wire.marks import PREFIX
from umbel.wire.names import CHAIN, CHORD, GROUP, RESERVED_HEADERS
from umbel.wire.reprs import sort_of

_CALL_OPTIONS = (
    "countdown",
    "queue",
    "exchange",
    "routing_key",
    "serializer",
    "compression",
    "ignore_result",
    "shadow",
    "argsrepr",
    "kwargsrepr",
    "time_limit",
    "soft_time_limit",
)
"""Options of a signature that are options of the call which it becomes, under the same name."""

_PROPERTIES = ("delivery_mode", "app_id", "message_id", "type", "user_id")
"""Options of a signature that are properties of the message."""


def read_signature(signature: Any, where: str) -> dict[str, Any]:
    """A signature with every part that a plan asks for, its options as a copy; raises ``DecodeError``."""
    if not isinstance(signature, Mapping):
        raise DecodeError(f"embed.{where}", f"is {sort_of(signature)} and must be a signature")
    task = signature.get("task")
    if not isinstance(task, str) or not task:
        raise DecodeError(f"embed.{where}.task", f"is {sort_of(task)} and must be a task's name")
    read: dict[str, Any] = {"task": task, "immutable": bool(signature.get("immutable"))}
    for name, kinds, wanted in (("args", (list, tuple), "a list"), ("kwargs", Mapping, "a table")):
        value = signature.get(name)
        if value is None:
            value = () if name == "args" else {}
        if not isinstance(value, kinds):
            raise DecodeError(f"embed.{where}.{name}", f"is {sort_of(value)} and must be {wanted}")
        read[name] = value
    if signature.get("subtask_type") is not None:
        read["subtask_type"] = signature["subtask_type"]
    options = signature.get("options")
    if options is not None and not isinstance(options, Mapping):
        raise DecodeError(f"embed.{where}.options", f"is {sort_of(options)} and must be a table")
    read["options"] = dict(options or {})
    return read


def tasks_of(signature: Mapping[str, Any], where: str) -> Sequence[Any]:
    tasks = signature["kwargs"].get("tasks")
    if not isinstance(tasks, (list, tuple)):
        raise DecodeError(f"embed.{where}.kwargs.tasks", f"is {sort_of(tasks)} and must be a list of signatures")
    return tasks


def listed(options: Mapping[str, Any], name: str, where: str) -> list[Mapping[str, Any]]:
    """The signatures of an option, which may be one, a list or nothing."""
    value = options.get(name)
    if value is None:
        return []
    found = list(value) if isinstance(value, (list, tuple)) else [value]
    for each in found:
        if not isinstance(each, Mapping):
            raise DecodeError(f"embed.{where}.options.{name}", f"holds {sort_of(each)} and must hold signatures")
    return found


def chord_of(options: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    value = options.get("chord")
    if value is not None and not isinstance(value, Mapping):
        raise DecodeError(f"embed.{where}.options.chord", f"is {sort_of(value)} and must be a signature")
    return value


def text_of(options: Mapping[str, Any], name: str, where: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise DecodeError(f"embed.{where}.options.{name}", f"is {sort_of(value)} and must be text")
    return value or None


def whole_of(options: Mapping[str, Any], name: str, where: str) -> int | None:
    value = options.get(name)
    if value is not None and (type(value) is not int or not 0 <= value < 2**31):
        raise DecodeError(f"embed.{where}.options.{name}", f"is {sort_of(value)} and must be a whole number from 0")
    return value


def call_options(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a signature says of its call; what only a sender needs (retry_policy, producer …) is left out."""
    said = {name: options[name] for name in _CALL_OPTIONS if options.get(name) is not None}
    if said.get("queue") is not None:
        said.pop("exchange", None)
        said.pop("routing_key", None)
    if options.get("eta") is not None and not said.get("countdown"):
        said.pop("countdown", None)
        said["eta"] = moment(f"embed.{where}.options.eta", options["eta"])
    expires = options.get("expires")
    if expires is not None:
        number = isinstance(expires, int | float)
        said["expires"] = expires if number else moment(f"embed.{where}.options.expires", expires)
    headers = options.get("headers")
    if isinstance(headers, Mapping):
        stamps = options.get("stamped_headers") or ()
        own = {
            name: value
            for name, value in headers.items()
            if isinstance(name, str)
            and name not in RESERVED_HEADERS
            and name not in stamps
            and not name.startswith(PREFIX)
        }
        said["headers"] = own or None
    properties = {name: options[name] for name in _PROPERTIES if options.get(name) is not None}
    if properties:
        said["properties"] = properties
    return said


def every(signature: Any) -> Iterator[Mapping[str, Any]]:
    """The signature and all that it is made of."""
    pending = [signature]
    while pending:
        found = pending.pop()
        if not isinstance(found, Mapping):
            continue
        yield found
        kwargs = found.get("kwargs")
        if isinstance(kwargs, Mapping) and found.get("task") in (CHAIN, GROUP, CHORD):
            for name in ("body", "header", "tasks"):
                inner = kwargs.get(name)
                pending += reversed(inner) if isinstance(inner, (list, tuple)) else [inner]


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def flat(tasks: Sequence[Any], where: str) -> list[dict[str, Any]]:
    """Signatures, in the place of each group its own; an empty chain is nothing."""
    found: list[dict[str, Any]] = []
    for number, each in enumerate(tasks):
        read = read_signature(each, f"{where}.{number}")
        inner = tasks_of(read, f"{where}.{number}") if read["task"] in (CHAIN, GROUP) else ()
        if read["task"] == GROUP:
            found += flat(inner, f"{where}.{number}")
        elif inner or read["task"] != CHAIN:
            found.append(read)
    return found


def parts_of(signature: Mapping[str, Any]) -> int:
    """How many ends a body waits for that waits for this."""
    inner = signature["kwargs"].get("body" if signature["task"] == CHORD else "tasks")
    if signature["task"] == CHORD:
        return parts_of(read_signature(inner, "body"))
    if signature["task"] == GROUP:
        return sum(parts_of(read_signature(each, "tasks")) for each in inner or ())
    if signature["task"] == CHAIN:
        return next((count for each in reversed(inner or ()) if (count := parts_of(read_signature(each, "tasks")))), 0)
    return 1
