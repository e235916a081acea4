"""Reads the links of a message, and says which tasks follow it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from umbel.errors import DecodeError, NoResultBackend
from umbel.model import NO_LINKS, Links, Message
from umbel.wire.fields import moment
from umbel.wire.marks import LIFE, PREFIX, RESENT
from umbel.wire.names import CHAIN, CHORD, GROUP, RESERVED_HEADERS
from umbel.wire.reprs import sort_of

_NAMESPACE = uuid.UUID("5f0a2a5e-6f0b-5d0e-9d6c-2b6f1f1d9a41")

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

MAX_STEPS = 10_000
"""A message that is followed by more tasks at once is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One task that follows another. ``options`` are fields of ``CallOptions``; the rest is what no call says."""

    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]
    priority: int | None = None
    group: str | None = None
    group_index: int | None = None
    stamps: Mapping[str, Any] = field(default_factory=dict)
    marks: Mapping[str, Any] = field(default_factory=dict)
    links: Links = NO_LINKS

    def of(self, message: Message) -> Message:
        """The message of the call that ``options`` make, with everything else that this step says."""
        more: dict[str, Any] = {}
        if self.stamps:
            more = {"stamped_headers": list(self.stamps), "stamps": self.stamps}
        if self.priority is not None:
            more["priority"] = self.priority
        return replace(
            message, group=self.group, group_index=self.group_index, links=self.links, marks=self.marks, **more
        )


class Waiting(NamedTuple):
    """A task that would have followed: somebody may wait for its result at ``reply_to``."""

    id: str
    task: str
    reply_to: str


def after_success(message: Message, value: Any) -> list[Step]:
    """What follows when the task has returned ``value``: its callbacks, then what is next in its chain.

    The ids are those that the signatures name, else derived from the message's and the position, so that they are the
    same at every attempt. A message with ``umbel_resent`` or ``umbel_life`` hands its mark on. Raises ``DecodeError``
    that names the part of the links which is wrong, ``NoResultBackend`` when one of them is a chord, which takes a
    store that can join its parts.
    """
    links, plan = message.links, _Plan(message)
    if links.chord is not None:
        raise NoResultBackend(
            f"it is a part of a chord (group {message.group}), and no result store here can join the parts: run it on "
            "a worker whose result_backend can"
        )
    for number, signature in enumerate(links.callbacks or ()):
        where = f"callbacks.{number}"
        plan.add(_read(signature, where), (value,), where)
    if links.chain:
        plan.follow(list(links.chain), (value,))
    return plan.steps


def after_failure(message: Message) -> list[tuple[Step, Mapping[str, Any]]]:
    """The error callbacks, each as the task that gets the failed one's id, and as the signature that was read.

    Raises as ``after_success``.
    """
    found: list[tuple[Step, Mapping[str, Any]]] = []
    for number, signature in enumerate(message.links.errbacks or ()):
        where, plan = f"errbacks.{number}", _Plan(message)
        read = _read(signature, where)
        plan.add(read, (message.id,), where)
        found += [(step, read) for step in plan.steps]
    return found


def left_out(message: Message) -> tuple[list[Waiting], bool]:
    """What will never run when the task has failed: the rest of its chain; and whether a chord waits for that rest."""
    waiting: list[Waiting] = []
    in_chord = message.links.chord is not None
    for signature in reversed(message.links.chain or ()):
        for inner in _every(signature):
            options = inner.get("options")
            if not isinstance(options, Mapping):
                continue
            in_chord = in_chord or options.get("chord") is not None
            task_id, reply_to = options.get("task_id"), options.get("reply_to") or message.reply_to
            if isinstance(task_id, str) and task_id and inner.get("task") not in (CHAIN, GROUP, CHORD):
                waiting.append(Waiting(task_id, str(inner.get("task")), str(reply_to)))
    return waiting, in_chord


def _every(signature: Any) -> Iterator[Mapping[str, Any]]:
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


class _Plan:
    """The steps after one message, as they are found."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._marks = {name: message.marks[name] for name in (LIFE, RESENT) if message.marks.get(name)}
        self.steps: list[Step] = []

    def follow(self, rest: list[Any], head: tuple[Any, ...], where: str = "chain") -> None:
        """Go on with a chain, whose next is the last of ``rest``."""
        following = _read(rest[-1], where)
        self.add(following, head, where, rest[:-1])

    def add(self, signature: dict[str, Any], head: tuple[Any, ...], where: str, rest: Sequence[Any] = ()) -> None:
        """The steps of one signature; ``head`` goes before its arguments, ``rest`` of a chain comes after it."""
        if len(self.steps) >= MAX_STEPS:
            raise DecodeError(f"embed.{where}", f"more than {MAX_STEPS} tasks follow this one")
        kind = signature["task"]
        if kind == CHORD:
            raise NoResultBackend(
                f"embed.{where}: a chord follows it, and no result store here can join the parts of a chord: run it "
                "on a worker whose result_backend can"
            )
        args = tuple(signature["args"]) if signature["immutable"] else (*head, *signature["args"])
        if kind == CHAIN:
            self._chain(signature, args, where, rest)
        elif kind == GROUP:
            self._group(signature, args, where, rest)
        else:
            self.steps.append(self._step(signature, args, where, rest))

    def _chain(self, signature: dict[str, Any], args: tuple[Any, ...], where: str, rest: Sequence[Any]) -> None:
        options = signature["options"]
        tasks = [_read(each, f"{where}.{number}") for number, each in enumerate(_tasks(signature, where))]
        if not tasks:
            if rest:
                self.follow(list(rest), args, f"{where}.rest")
            return
        last, own = tasks[-1]["options"], {"link", "link_error", "task_id", "chord", "group_id", "group_index"}
        for name in ("task_id", "chord", "group_id", "group_index"):
            if options.get(name) is not None:
                last.setdefault(name, options[name])
        last["link"] = [*_listed(last, "link", where), *_listed(options, "link", where)]
        for task in tasks:
            task["options"]["link_error"] = [
                *_listed(task["options"], "link_error", where),
                *_listed(options, "link_error", where),
            ]
        tasks[0]["options"].update({name: value for name, value in options.items() if name not in own})
        self.add(tasks[0], args, f"{where}.0", [*rest, *reversed(tasks[1:])])

    def _group(self, signature: dict[str, Any], args: tuple[Any, ...], where: str, rest: Sequence[Any]) -> None:
        tasks = _tasks(signature, where)
        if rest and tasks:
            raise NoResultBackend(
                f"embed.{where}: a group follows it whose results the rest of the chain wants, and no result store "
                "here can join them: run it on a worker whose result_backend can"
            )
        if rest:
            self.follow(list(rest), ([],), f"{where}.rest")
        options = signature["options"]
        group = _text(options, "task_id", where) or self._id(where)
        shared = {name: value for name, value in options.items() if name not in ("task_id", "group_id", "link")}
        errors = _listed(shared, "link_error", where)
        shared.pop("link_error", None)
        for number, each in enumerate(tasks):
            member = _read(each, f"{where}.{number}")
            own = member["options"]
            more = {**own, **shared, "group_id": group, "group_index": number}
            more["link_error"] = [*_listed(own, "link_error", where), *errors]
            self.add({**member, "options": more}, args, f"{where}.{number}")

    def _step(self, signature: dict[str, Any], args: tuple[Any, ...], where: str, rest: Sequence[Any]) -> Step:
        options, message = signature["options"], self._message
        chain = [*rest, *_listed(options, "chain", where)]
        links = Links(
            callbacks=_listed(options, "link", where) or None,
            errbacks=_listed(options, "link_error", where) or None,
            chain=chain or None,
            chord=_chord(options, where),
        )
        names = options.get("stamped_headers") or ()
        if not isinstance(names, (list, tuple)):
            raise DecodeError(f"embed.{where}.options.stamped_headers", f"is {sort_of(names)} and must be a list")
        return Step(
            task=signature["task"],
            args=args,
            kwargs=signature["kwargs"],
            options={
                **_call_options(options, where),
                "task_id": _text(options, "task_id", where) or self._id(where),
                "reply_to": _text(options, "reply_to", where) or message.reply_to or None,
                "parent_id": message.id,
                "root_id": message.root_id or message.id,
            },
            priority=_whole(options, "priority", where),
            group=_text(options, "group_id", where),
            group_index=_whole(options, "group_index", where),
            stamps={str(name): options[name] for name in names if name in options},
            marks=self._marks,
            links=NO_LINKS if links == NO_LINKS else links,
        )

    def _id(self, where: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"{self._message.id}/{where}"))


def _read(signature: Any, where: str) -> dict[str, Any]:
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
    options = signature.get("options")
    if options is not None and not isinstance(options, Mapping):
        raise DecodeError(f"embed.{where}.options", f"is {sort_of(options)} and must be a table")
    read["options"] = dict(options or {})
    return read


def _tasks(signature: Mapping[str, Any], where: str) -> Sequence[Any]:
    tasks = signature["kwargs"].get("tasks")
    if not isinstance(tasks, (list, tuple)):
        raise DecodeError(f"embed.{where}.kwargs.tasks", f"is {sort_of(tasks)} and must be a list of signatures")
    return tasks


def _listed(options: Mapping[str, Any], name: str, where: str) -> list[Mapping[str, Any]]:
    """The signatures of an option, which may be one, a list or nothing."""
    value = options.get(name)
    if value is None:
        return []
    found = list(value) if isinstance(value, (list, tuple)) else [value]
    for each in found:
        if not isinstance(each, Mapping):
            raise DecodeError(f"embed.{where}.options.{name}", f"holds {sort_of(each)} and must hold signatures")
    return found


def _chord(options: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    value = options.get("chord")
    if value is not None and not isinstance(value, Mapping):
        raise DecodeError(f"embed.{where}.options.chord", f"is {sort_of(value)} and must be a signature")
    return value


def _text(options: Mapping[str, Any], name: str, where: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise DecodeError(f"embed.{where}.options.{name}", f"is {sort_of(value)} and must be text")
    return value or None


def _whole(options: Mapping[str, Any], name: str, where: str) -> int | None:
    value = options.get(name)
    if value is not None and (type(value) is not int or not 0 <= value < 2**31):
        raise DecodeError(f"embed.{where}.options.{name}", f"is {sort_of(value)} and must be a whole number from 0")
    return value


def _call_options(options: Mapping[str, Any], where: str) -> dict[str, Any]:
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
