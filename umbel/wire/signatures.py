"""Reads the links of a message, and says which tasks follow it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from umbel.errors import DecodeError, NoResultBackend
from umbel.model import NO_LINKS, Links, Message
from umbel.wire.marks import LIFE, RESENT
from umbel.wire.names import CHAIN, CHORD, GROUP
from umbel.wire.reprs import sort_of
from umbel.wire.signature_fields import (
    call_options,
    chord_of,
    every,
    flat,
    listed,
    mapping,
    parts_of,
    read_signature,
    tasks_of,
    text_of,
    whole_of,
)

_NAMESPACE = uuid.UUID("5f0a2a5e-6f0b-5d0e-9d6c-2b6f1f1d9a41")

_URGENT = 9

MAX_STEPS = 10_000
"""A message that is followed by more tasks at once is refused."""


_OF_CHORD = frozenset({"task_id", "chord", "group_id", "group_index", "link", "link_error", "root_id", "parent_id"})
"""Options of a chord, or of its header, that are none of its parts'."""


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


def urgency(number: int, form: str) -> int:
    """The priority, higher is sooner, that a signature tells by this number in messages of a form: in those of kombu 0
    is the most urgent."""
    return _URGENT - max(0, min(number, _URGENT)) if form == "kombu" else number


class Waiting(NamedTuple):
    """A task that would have followed: somebody may wait for its result at ``reply_to``."""

    id: str
    task: str
    reply_to: str


def after_success(message: Message, value: Any, groups: dict[str, int] | None = None) -> list[Step]:
    """What follows when the task has returned ``value``: its callbacks, then what is next in its chain.

    ``groups`` is given where a store can join the parts of chords: it gets the number of parts of each group that
    follows and has a body.

    The ids are those that the signatures name, else derived from the message's and the position, so that they are the
    same at every attempt. A message with ``umbel_resent`` or ``umbel_life`` hands its mark on. Raises ``DecodeError``
    that names the part of the links which is wrong, ``NoResultBackend`` without ``groups`` when one of them is a chord.
    """
    links, plan = message.links, _Plan(message, groups)
    if links.chord is not None and groups is None:
        raise NoResultBackend(
            f"it is a part of a chord (group {message.group}), and no result store here can join the parts: run it on "
            "a worker whose result_backend can"
        )
    for number, signature in enumerate(links.callbacks or ()):
        where = f"callbacks.{number}"
        plan.add(read_signature(signature, where), (value,), where)
    if links.chain:
        plan.follow(list(links.chain), (value,))
    return plan.steps


def body_of(message: Message, values: Sequence[Any], groups: dict[str, int]) -> list[Step]:
    """The body of the chord of which ``message`` is a part, for the values of all parts; as ``after_success``."""
    plan, body = _Plan(message, groups), read_signature(message.links.chord, "chord")
    if message.group is not None:
        body["options"].setdefault("group_id", message.group)
    plan.add(body, (list(values),), "chord")
    return plan.steps


def body_left_out(message: Message) -> Message:
    """The body of the chord of which ``message`` is a part, as a task that fails without being run: its id is the one
    that its error callbacks hear of, and ``left_out`` names all that was to come. Raises as ``after_success``."""
    body = read_signature(message.links.chord, "chord")
    options = body["options"]
    errors = listed(options, "link_error", "chord")
    if body["task"] == CHAIN and (tasks := tasks_of(body, "chord")):
        first = read_signature(tasks[0], "chord.0")
        errors = [*listed(first["options"], "link_error", "chord.0"), *errors]
    return Message(
        task=body["task"],
        id=text_of(options, "task_id", "chord") or _Plan(message, None).id_at("chord"),
        parent_id=message.id,
        root_id=message.root_id or message.id,
        reply_to=text_of(options, "reply_to", "chord") or message.reply_to,
        marks=message.marks,
        links=Links(errbacks=errors or None, chain=[*listed(options, "chain", "chord"), body]),
    )


def after_failure(message: Message, groups: dict[str, int] | None = None) -> list[tuple[Step, Mapping[str, Any]]]:
    """The error callbacks, each as the task that gets the failed one's id, and as the signature that was read.

    Raises as ``after_success``.
    """
    found: list[tuple[Step, Mapping[str, Any]]] = []
    for number, signature in enumerate(message.links.errbacks or ()):
        where, plan = f"errbacks.{number}", _Plan(message, groups)
        read = read_signature(signature, where)
        plan.add(read, (message.id,), where)
        found += [(step, read) for step in plan.steps]
    return found


def left_out(message: Message) -> tuple[list[Waiting], list[Message]]:
    """What will never run when the task has failed: the rest of its chain; and those of it that are parts of a chord,
    each as a message with that link alone."""
    waiting: list[Waiting] = []
    parts = {message.id: message} if message.links.chord is not None else {}
    for signature in reversed(message.links.chain or ()):
        for inner in every(signature):
            options = inner.get("options")
            if not isinstance(options, Mapping):
                continue
            task, task_id, chord = str(inner.get("task")), options.get("task_id"), options.get("chord")
            if task == CHORD:
                body = mapping(mapping(inner.get("kwargs")).get("body"))
                task_id = mapping(body.get("options")).get("task_id")
            id = task_id if isinstance(task_id, str) else ""
            if id and task not in (CHAIN, GROUP, CHORD):
                waiting.append(Waiting(id, task, str(options.get("reply_to") or message.reply_to)))
            if isinstance(chord, Mapping) and task != GROUP:
                group, place = options.get("group_id"), options.get("group_index")
                id = id or _Plan(message, None).id_at(f"left.{len(parts)}")
                parts[id] = Message(
                    task=task,
                    id=id,
                    parent_id=message.id,
                    root_id=message.root_id or message.id,
                    group=group if isinstance(group, str) else None,
                    group_index=place if type(place) is int else None,
                    reply_to=message.reply_to,
                    marks=message.marks,
                    links=Links(chord=chord),
                )
    return waiting, list(parts.values())


class _Plan:
    """The steps after one message, as they are found."""

    def __init__(self, message: Message, groups: dict[str, int] | None) -> None:
        self._message = message
        self._groups = groups
        """How many parts the groups have that a body waits for; None where nothing can join them."""
        self._marks = {name: message.marks[name] for name in (LIFE, RESENT) if message.marks.get(name)}
        self.steps: list[Step] = []

    def follow(self, rest: list[Any], head: tuple[Any, ...], where: str = "chain") -> None:
        """Go on with a chain, whose next is the last of ``rest``."""
        following = read_signature(rest[-1], where)
        self.add(following, head, where, rest[:-1])

    def add(self, signature: dict[str, Any], head: tuple[Any, ...], where: str, rest: Sequence[Any] = ()) -> None:
        """The steps of one signature; ``head`` goes before its arguments, ``rest`` of a chain comes after it."""
        if len(self.steps) >= MAX_STEPS:
            raise DecodeError(f"embed.{where}", f"more than {MAX_STEPS} tasks follow this one")
        kind = signature["task"]
        if kind == CHORD and self._groups is None:
            raise NoResultBackend(
                f"embed.{where}: a chord follows it, and no result store here can join the parts of a chord: run it "
                "on a worker whose result_backend can"
            )
        args = tuple(signature["args"]) if signature["immutable"] else (*head, *signature["args"])
        if kind == CHAIN:
            self._chain(signature, args, where, rest)
        elif kind == GROUP:
            self._group(signature, args, where, rest)
        elif kind == CHORD:
            kwargs = signature["kwargs"]
            self._chord(signature["options"], kwargs.get("header"), kwargs.get("body"), args, where, rest)
        else:
            self.steps.append(self._step(signature, args, where, rest))

    def _chain(self, signature: dict[str, Any], args: tuple[Any, ...], where: str, rest: Sequence[Any]) -> None:
        options = signature["options"]
        tasks = [read_signature(each, f"{where}.{number}") for number, each in enumerate(tasks_of(signature, where))]
        if not tasks:
            if rest:
                self.follow(list(rest), args, f"{where}.rest")
            return
        last, own = tasks[-1]["options"], {"link", "link_error", "task_id", "chord", "group_id", "group_index"}
        for name in ("task_id", "chord", "group_id", "group_index"):
            if options.get(name) is not None:
                last.setdefault(name, options[name])
        last["link"] = [*listed(last, "link", where), *listed(options, "link", where)]
        for task in tasks:
            task["options"]["link_error"] = [
                *listed(task["options"], "link_error", where),
                *listed(options, "link_error", where),
            ]
        tasks[0]["options"].update({name: value for name, value in options.items() if name not in own})
        self.add(tasks[0], args, f"{where}.0", [*rest, *reversed(tasks[1:])])

    def _group(self, signature: dict[str, Any], args: tuple[Any, ...], where: str, rest: Sequence[Any]) -> None:
        tasks = tasks_of(signature, where)
        if rest and tasks and self._groups is not None:
            self._chord({}, signature, rest[-1], args, where, rest[:-1])
            return
        if rest and tasks:
            raise NoResultBackend(
                f"embed.{where}: a group follows it whose results the rest of the chain wants, and no result store "
                "here can join them: run it on a worker whose result_backend can"
            )
        if rest:
            self.follow(list(rest), ([],), f"{where}.rest")
        options = signature["options"]
        in_chord = options.get("chord") is not None  # then it is counted by the group that the body waits for
        own_id = text_of(options, "task_id", where) or self.id_at(where)
        group = (in_chord and text_of(options, "group_id", where)) or own_id
        shared = {name: value for name, value in options.items() if name not in ("task_id", "group_id", "link")}
        errors = listed(shared, "link_error", where)
        shared.pop("link_error", None)
        for number, each in enumerate(tasks):
            member = read_signature(each, f"{where}.{number}")
            own = member["options"]
            more = {**own, **shared, "group_id": group, "group_index": number}
            more["link_error"] = [*listed(own, "link_error", where), *errors]
            self.add({**member, "options": more}, args, f"{where}.{number}")

    def _chord(
        self,
        options: Mapping[str, Any],
        header: Any,
        last: Any,
        args: tuple[Any, ...],
        where: str,
        rest: Sequence[Any],
    ) -> None:
        """The header of a chord; each of its parts carries the body, and the body what comes after the chord."""
        assert self._groups is not None
        group, tasks, shared = self._header(header, where)
        body = read_signature(last, f"{where}.body")
        own = body["options"]
        for name in ("chord", "group_id", "group_index"):
            if options.get(name) is not None:
                own.setdefault(name, options[name])
        own.setdefault("group_id", group)
        for name in ("link", "link_error"):
            own[name] = [*listed(own, name, where), *listed(options, name, where)]
        if rest:
            own["chain"] = [*rest, *listed(own, "chain", where)]
        more = {name: value for name, value in options.items() if name not in _OF_CHORD}
        parts = 0
        for number, each in enumerate(tasks):
            parts += parts_of(each)
            member = {**each, "options": {**more, **shared, **each["options"]}}
            member["options"].update(group_id=group, group_index=number, chord=body)
            self.add(member, tuple(args), f"{where}.{number}")
        if parts:
            self._groups[group] = parts
        else:
            self.add({**body, "options": own}, ([],), f"{where}.body")

    def _header(self, header: Any, where: str) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
        """The id of the group, its tasks with those of groups in it, and options that all of them have."""
        where = f"{where}.header"
        if isinstance(header, (list, tuple)):
            return self.id_at(where), flat(header, where), {}
        read = read_signature(header, where)
        if read["task"] != GROUP:
            return self.id_at(where), [read], {}
        shared = {name: value for name, value in read["options"].items() if name not in _OF_CHORD}
        group = text_of(read["options"], "task_id", where) or self.id_at(where)
        return group, flat(tasks_of(read, where), where), shared

    def _step(self, signature: dict[str, Any], args: tuple[Any, ...], where: str, rest: Sequence[Any]) -> Step:
        options, message = signature["options"], self._message
        chain = [*rest, *listed(options, "chain", where)]
        links = Links(
            callbacks=listed(options, "link", where) or None,
            errbacks=listed(options, "link_error", where) or None,
            chain=chain or None,
            chord=chord_of(options, where),
        )
        names = options.get("stamped_headers") or ()
        if not isinstance(names, (list, tuple)):
            raise DecodeError(f"embed.{where}.options.stamped_headers", f"is {sort_of(names)} and must be a list")
        return Step(
            task=signature["task"],
            args=args,
            kwargs=signature["kwargs"],
            options={
                **call_options(options, where),
                "task_id": text_of(options, "task_id", where) or self.id_at(where),
                "reply_to": text_of(options, "reply_to", where) or message.reply_to or None,
                "parent_id": message.id,
                "root_id": message.root_id or message.id,
            },
            priority=whole_of(options, "priority", where),
            group=text_of(options, "group_id", where),
            group_index=whole_of(options, "group_index", where),
            stamps={str(name): options[name] for name in names if name in options},
            marks=self._marks,
            links=NO_LINKS if links == NO_LINKS else links,
        )

    def id_at(self, where: str) -> str:
        """The id of what stands there and names none."""
        return str(uuid.uuid5(_NAMESPACE, f"{self._message.id}/{where}"))
