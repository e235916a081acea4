"""The kinds of setting that say where calls go and what holds for tasks by their names."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from umbel.annotations import Annotations
from umbel.errors import ConfigurationError, UnknownOption
from umbel.model import Queue
from umbel.retry import PublishRetry
from umbel.routing import Routes
from umbel.settings.kinds import Kind, Unfit

T = TypeVar("T")

_QUEUE_OPTIONS = ("exchange", "routing_key", "max_priority", "arguments")


def _check_queues(value: Any) -> tuple[Queue, ...]:
    if isinstance(value, Mapping):
        queues = [_queue(options, name) for name, options in value.items()]
    elif isinstance(value, (list, tuple)):
        queues = [_queue(each, None) for each in value]
    else:
        raise Unfit
    names = [queue.name for queue in queues]
    for name in names:
        if names.count(name) > 1:
            raise Unfit(f"{name!r} is declared twice")
    return tuple(queues)


def _queue(value: Any, name: Any) -> Queue:
    if isinstance(value, Queue) and name in (None, value.name):
        return value
    if isinstance(value, str) and name is None:
        name, value = value, {}
    if not isinstance(value, Mapping):
        raise Unfit(f"{value!r:.80} is no queue")
    options = dict(value) if name is None else {"name": name, **value}
    for option in options:
        if option not in ("name", *_QUEUE_OPTIONS):
            raise Unfit(str(UnknownOption(f"queue {options.get('name')!r}", str(option), ("name", *_QUEUE_OPTIONS))))
    if "name" not in options:
        raise Unfit(f"{value!r:.80} has no name")
    return _meant(lambda: Queue(**options))


def _read_queues(text: str) -> Any:
    if text.lstrip().startswith(("[", "{")):
        return _read_json(text)
    return [name.strip() for name in text.split(",") if name.strip()]


def _check_routes(value: Any) -> Any:
    _meant(lambda: Routes(value))
    return _kept(value)


def _check_annotations(value: Any) -> Any:
    _meant(lambda: Annotations(value))
    return _kept(value)


def _check_policy(value: Any) -> Any:
    _meant(lambda: PublishRetry.of(value))
    return _kept(value)


def _read_routes(text: str) -> Any:
    return _read_json(text) if text.lstrip().startswith(("[", "{")) else text.strip()


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Unfit(f"it is not JSON: {error}") from None


def _meant(make: Callable[[], T]) -> T:
    try:
        return make()
    except ConfigurationError as error:
        raise Unfit(str(error)) from None


def _kept(value: Any) -> Any:
    """What nobody can change behind the back of those who have read it."""
    if isinstance(value, Mapping):
        return MappingProxyType(dict(value))
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


QUEUES = Kind(
    "a list of Queue, names or mappings with a name, or a mapping of names to options (as text: names with commas, or "
    "JSON)",
    _check_queues,
    _read_queues,
)
ROUTES = Kind(
    "a mapping of task names to queues or call options, a router, or a list of these (as text: JSON, or a router's "
    "dotted name)",
    _check_routes,
    _read_routes,
)
ANNOTATIONS = Kind(
    "a mapping of task names to options of tasks, an object with annotate(task), or a list of these (as text: JSON)",
    _check_annotations,
    _read_json,
)
RETRY_POLICY = Kind(
    "a mapping of max_retries, interval_start, interval_step and interval_max (as text: JSON)",
    _check_policy,
    _read_json,
)
