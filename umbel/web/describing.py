"""Describes the endpoints in the form of OpenAPI 3.1, for programs that call them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

from umbel.model import State
from umbel.web.exposing import LONGEST_ONCE, Exposed
from umbel.web.files import KINDS
from umbel.web.stream import MOST_KEYS

_KINDS = {int: "integer", float: "number", str: "string", bool: "boolean"}

_REFUSED = {
    400: "the request cannot be read",
    401: "somebody must log in first",
    403: "it is not for whoever asked",
    404: "there is nothing of this name",
    410: "the ticket has expired",
    413: "the arguments are too large",
    415: "the body is neither a form nor JSON",
    422: "the arguments do not fit",
    501: "the server cannot hold streams open",
    503: "the tasks cannot be reached, or too many pages are open: ask again after Retry-After seconds",
}

_WHO = (401, 403, 404, 410, 503)
"""What whoever asks for a task may be refused with."""

_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}
_WHOLE = {"type": "integer"}

_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"enum": ["snapshot", "refused", "end", "bye"]},
        "id": {"type": "string", "description": "how far the reader is, for Last-Event-ID"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}

SNAPSHOT: dict[str, Any] = {
    "type": "object",
    "required": ["v", "key", "seq", "state", "attempt"],
    "properties": {
        "v": {"const": 1},
        "key": _TEXT,
        "seq": {"type": "integer", "description": "grows with every change"},
        "state": {"type": "string", "description": f"{', '.join(State)}, PROGRESS, or one of the task's own"},
        "final": {"type": "boolean", "description": "left out while the task goes on"},
        "attempt": _WHOLE,
        "attempts": {"type": "integer", "description": "how many there may be"},
        "current": _NUMBER,
        "total": _NUMBER,
        "unit": _TEXT,
        "percent": {"type": "number", "minimum": 0, "maximum": 100},
        "message": _TEXT,
        "stage": {
            "type": "object",
            "properties": {"i": _WHOLE, "n": {"type": ["integer", "null"]}, "label": _TEXT},
        },
        "eta": {"type": "number", "description": "seconds that are left, about"},
        "elapsed": {"type": "number", "description": "seconds"},
        "rate": {"type": "number", "description": "items a second"},
        "usual": {"type": "number", "description": "seconds that such a task takes as a rule"},
        "due": {"type": "number", "description": "when the next attempt begins, in seconds since 1970"},
        "ahead": {"type": "integer", "description": "tasks before this one in its queue"},
        "children": {"type": "object", "properties": dict.fromkeys(("n", "done", "failed", "running"), _WHOLE)},
        "updated": {"type": "number", "description": "when the worker wrote it, in seconds since 1970"},
        "cancelling": {"type": "boolean"},
        "error": {"type": "object", "properties": {"text": _TEXT, "ref": {"type": ["string", "null"]}}},
        "links": {"type": "array", "items": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2}},
        "log": {"type": "array", "items": _TEXT},
        "can": {"type": "array", "items": _TEXT, "description": "what whoever asked may do, such as cancel"},
        "result": {"description": "what the task returned, where that is shown"},
    },
}


def describe(tasks: Mapping[str, Exposed], base: str) -> dict[str, Any]:
    """The document, for a face that is mounted at ``base``; ``tasks`` are those that pages may start, by alias."""
    starting = {f"/tasks/{alias}": {"post": _starting(alias, exposed)} for alias, exposed in tasks.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Progress of tasks", "version": "1"},
        "servers": [{"url": base.rstrip("/") or "/"}],
        "paths": {**starting, **_following(), "/stream": {"get": _streaming()}, **_files()},
        "components": {
            "schemas": {
                "Snapshot": SNAPSHOT,
                "Refusal": {"type": "object", "required": ["error"], "properties": {"error": _TEXT}},
            }
        },
    }


def _following() -> dict[str, Any]:
    """What is asked of one task, by path."""
    key = [{"name": "key", "in": "path", "required": True, "schema": _TEXT, "description": "a ticket, or a task's id"}]
    snapshot = {"application/json": {"schema": {"$ref": "#/components/schemas/Snapshot"}}}
    seen = {
        200: _answer("a snapshot", snapshot, "ETag"),
        304: _answer("the snapshot of If-None-Match is the newest"),
    }
    asked = {
        202: _answer("it is asked", {"application/json": {"schema": {"type": "object"}}}),
        303: _answer("the same, for a form", {}, "Location"),
    }
    page = {200: _answer("a page", {"text/html": {"schema": _TEXT}})}
    looking = _operation("How far a task is", _WHO, seen, parameters=[_parameter("If-None-Match", "header")])
    return {
        "/tasks/{key}": {"parameters": key, "get": looking},
        "/tasks/{key}/cancel": {
            "parameters": key,
            "post": _operation("Take a task back, or ask it to stop", _WHO, asked),
        },
        "/tasks/{key}/page": {"parameters": key, "get": _operation("The page without JavaScript", _WHO, page)},
    }


def _streaming() -> dict[str, Any]:
    answers = {
        200: _answer("one event after the other", {"text/event-stream": {"schema": _EVENT}}),
        204: _answer("all of them have ended, and the last snapshots are known"),
    }
    wanted = {
        "name": "t",
        "in": "query",
        "required": True,
        "description": "key~number for each task, with the number of the last snapshot, or 0",
        "schema": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MOST_KEYS},
    }
    parameters = [wanted, _parameter("Last-Event-ID", "header")]
    return _operation("Every newer snapshot, as it comes", (400, *_WHO, 501), answers, parameters=parameters)


def _files() -> dict[str, Any]:
    parameters = [_parameter("v", "query"), _parameter("If-None-Match", "header")]
    paths = {}
    for name, kind in KINDS.items():
        answers = {
            200: _answer("the file", {kind.partition(";")[0]: {"schema": _TEXT}}, "ETag"),
            304: _answer("the file of If-None-Match is the newest"),
        }
        paths[f"/{name}"] = {"get": _operation("A file", (), answers, parameters=parameters)}
    return paths


def _starting(alias: str, exposed: Exposed) -> dict[str, Any]:
    arguments = _arguments(exposed.task)
    started = {"type": "object", "properties": dict.fromkeys(("key", "status", "stream", "page"), _TEXT)}
    return _operation(
        (inspect.getdoc(exposed.task.run) or f"Start {alias}").partition("\n")[0],
        (400, 401, 403, 404, 413, 415, 422, 503),
        {
            202: _answer("it is sent", {"application/json": {"schema": started}}, "Location"),
            303: _answer("the same, for a form", {}, "Location"),
        },
        parameters=[_parameter("Idempotency-Key", "header", {**_TEXT, "minLength": 1, "maxLength": LONGEST_ONCE})],
        requestBody={
            "content": {
                "application/json": {"schema": arguments},
                "application/x-www-form-urlencoded": {"schema": arguments},
            }
        },
    )


def _arguments(task: Any) -> dict[str, Any]:
    """The arguments by name, as far as the signature tells."""
    body = inspect.unwrap(task.run)
    try:
        hints = get_type_hints(body)
    except (NameError, TypeError):
        hints = {}
    parameters = list(inspect.signature(task.run).parameters.values())
    named = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return {
        "type": "object",
        "properties": {
            each.name: {"type": _KINDS[hint]} if (hint := hints.get(each.name)) in _KINDS else {} for each in named
        },
        "required": [each.name for each in named if each.default is each.empty],
        "additionalProperties": any(each.kind is each.VAR_KEYWORD for each in parameters),
    }


def _operation(summary: str, refusals: tuple[int, ...], answers: Mapping[int, Any], **more: Any) -> dict[str, Any]:
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    refused = {status: _answer(_REFUSED[status], refusal) for status in refusals}
    return {
        "summary": summary,
        **more,
        "responses": {str(status): answer for status, answer in sorted({**answers, **refused}.items())},
    }


def _answer(description: str, content: Mapping[str, Any] | None = None, *headers: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": description}
    if content:
        answer["content"] = dict(content)
    if headers:
        answer["headers"] = {name: {"schema": _TEXT} for name in headers}
    return answer


def _parameter(name: str, place: str, schema: Mapping[str, Any] = _TEXT) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": dict(schema)}
