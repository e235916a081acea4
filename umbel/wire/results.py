"""A ``Record`` as the bytes that a result backend keeps, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from umbel import serial
from umbel.errors import DecodeError, EncodeError, WireError
from umbel.model import EXCEPTION_STATES, Record, SealedRecord, State
from umbel.serial import write_json
from umbel.wire.exceptions import from_wire, to_wire
from umbel.wire.fields import moment
from umbel.wire.reprs import safe_repr

_JSON_ONLY = serial.accepted(["json"])


def seal(
    record: Record, *, serializer: str = "json", extended: bool = True, expires: float | None = None
) -> SealedRecord:
    """The record as bytes; ``expires`` is the unix time in seconds after which a store may drop it.

    With ``extended``, name, arguments, worker, retries and queue of the task are kept too; arguments that cannot be
    written are kept as text. Raises ``EncodeError`` for a result that cannot be written, ``UnknownOption`` for a
    serializer that does not exist, ``MissingExtra`` for one that is not installed.
    """
    if not (record.id.isprintable() and record.state.isprintable()):
        _check_key("task_id", record.id)
        _check_key("state", record.state)
    value = record.value
    if isinstance(value, BaseException):
        value = to_wire(value, serializer)
    if serializer == "json":
        payload = _json(record, value, extended).encode()
    else:
        payload = _other(record, value, extended, serializer)
    return SealedRecord(record.id, record.state, payload, expires, record.life, record.reply_to)


def _check_key(name: str, key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise EncodeError(f"{name}: {key[:80]!a} has half of a surrogate pair, which no store can keep") from None
    if "\0" in key:
        raise EncodeError(f"{name}: {key[:80]!a} contains a NUL character, which some stores cannot keep")


def unseal(sealed: SealedRecord, accept: frozenset[str] = _JSON_ONLY) -> Record:
    """The record in the bytes that ``seal`` or Celery wrote; ``accept`` holds the content types that may be read.

    In the states of an exception the value is that exception. Raises ``DecodeError`` for bytes that are no record,
    ``ContentDisallowed`` before looking at those of another type, ``MissingExtra``.
    """
    meta = serial.loads(sealed.payload, _content_type(sealed.payload), "utf-8", accept)
    if not isinstance(meta, dict):
        raise DecodeError("record", f"is {safe_repr(meta, 80)} and must be a table")
    state, value, done = meta.get("status"), meta.get("result"), meta.get("date_done")
    if not isinstance(state, str):
        raise DecodeError("status", f"is {safe_repr(state, 80)} and must be text")
    if state in EXCEPTION_STATES and value is not None:
        value = from_wire(value)
    return Record(
        id=sealed.id,
        state=state,
        value=value,
        traceback=_text(meta, "traceback"),
        children=_list(meta, "children"),
        date_done=None if done is None else moment("date_done", done),
        group_id=_text(meta, "group_id"),
        parent_id=_text(meta, "parent_id"),
        name=_text(meta, "name"),
        args=meta.get("args"),
        kwargs=meta.get("kwargs"),
        worker=_text(meta, "worker"),
        retries=_retries(meta),
        queue=_text(meta, "queue"),
        life=sealed.life,
    )


def result_tuples(ids: Iterable[str]) -> list[Any]:
    """What ``Record.children`` holds for tasks of these ids."""
    return [((id, None), None) for id in ids]


def child_ids(children: Iterable[Any]) -> list[str]:
    """The ids of the tasks that result tuples name, the members of groups in the place of these.

    Raises ``DecodeError`` for what is no result tuple.
    """
    ids: list[str] = []
    for child in children:
        match child:
            case [[str(id), _], None]:
                ids.append(id)
            case [[str(), _], list(members)]:
                ids += child_ids(members)
            case _:
                raise DecodeError("children", f"one is {safe_repr(child, 80)} and must be a result tuple")
    return ids


def _json(record: Record, value: Any, extended: bool) -> str:
    """The record as JSON text, made in one step."""
    done, trace, retries = record.date_done, record.traceback, record.retries
    text = (
        f'{{"status": {quoted(record.state)}, "result": {write_json(value, "result")}, '
        f'"traceback": {"null" if trace is None else quoted(trace)}, '
        f'"children": {write_json(record.children, "children") if record.children else "[]"}, '
        f'"date_done": {"null" if done is None else quoted(done.isoformat())}'
    )
    if record.group_id is not None:
        text += f', "group_id": {quoted(record.group_id)}'
    if record.parent_id is not None:
        text += f', "parent_id": {quoted(record.parent_id)}'
    if extended:
        try:
            args, kwargs = write_json(record.args), write_json(record.kwargs)
        except EncodeError:
            args, kwargs = write_json(_as_text(record.args)), write_json(_as_text(record.kwargs))
        text += (
            f', "name": {_quoted(record.name)}, "args": {args}, "kwargs": {kwargs}, '
            f'"worker": {_quoted(record.worker)}, "retries": {"null" if retries is None else retries}, '
            f'"queue": {_quoted(record.queue)}'
        )
    return f'{text}, "task_id": {quoted(record.id)}}}'


def _quoted(text: str | None) -> str:
    return "null" if text is None else quoted(text)


def _other(record: Record, value: Any, extended: bool, serializer: str) -> bytes:
    done = record.date_done
    meta: dict[str, Any] = {
        "status": str(record.state),
        "result": value,
        "traceback": record.traceback,
        "children": list(record.children),
        "date_done": None if done is None else done.isoformat(),
    }
    if record.group_id is not None:
        meta["group_id"] = record.group_id
    if record.parent_id is not None:
        meta["parent_id"] = record.parent_id
    if extended:
        meta.update(
            name=record.name,
            args=record.args,
            kwargs=record.kwargs,
            worker=record.worker,
            retries=record.retries,
            queue=record.queue,
        )
    meta["task_id"] = record.id
    try:
        return serial.dumps(meta, serializer)[2]
    except EncodeError:
        serial.dumps(value, serializer, "result")
        serial.dumps(meta["children"], serializer, "children")
        meta.update(args=_as_text(record.args), kwargs=_as_text(record.kwargs))
        return serial.dumps(meta, serializer)[2]


def _as_text(value: Any) -> str | None:
    return None if value is None else safe_repr(value)


def reply(task_id: str, payload: bytes, life: int, accept: frozenset[str]) -> SealedRecord:
    """The record that came as a message. One that cannot be read counts as final, so that whoever waits is told why."""
    try:
        state = unseal(SealedRecord(task_id, "", payload), accept).state
    except WireError:
        state = State.FAILURE
    return SealedRecord(task_id, state, payload, None, life)


def content_of(payload: bytes) -> tuple[str, str]:
    """The content type and encoding of a record."""
    kind = _content_type(payload)
    return kind, "utf-8" if kind in _TEXT else "binary"


_TEXT = ("application/json", "application/x-yaml")


def _content_type(payload: bytes) -> str:
    """What a record, which is a table of at least five entries, was written with: its first byte tells."""
    first = payload[:1]
    if first == b"{":
        return "application/json"
    if first == b"\x80":
        return "application/x-python-serialize"
    if b"\x81" <= first <= b"\x8f" or first in (b"\xde", b"\xdf"):
        return "application/x-msgpack"
    return "application/x-yaml"


def _text(meta: Mapping[str, Any], field: str) -> str | None:
    value = meta.get(field)
    if value is not None and not isinstance(value, str):
        raise DecodeError(field, f"is {safe_repr(value, 80)} and must be text or null")
    return value


def _list(meta: Mapping[str, Any], field: str) -> list[Any]:
    value = meta.get(field)
    if value is not None and not isinstance(value, (list, tuple)):
        raise DecodeError(field, f"is {safe_repr(value, 80)} and must be a list or null")
    return list(value or ())


def _retries(meta: Mapping[str, Any]) -> int | None:
    value = meta.get("retries")
    if value is not None and type(value) is not int:
        raise DecodeError("retries", f"is {safe_repr(value, 80)} and must be a whole number or null")
    return value
