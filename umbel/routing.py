"""Chooses where a call goes: what ``task_routes`` says of it, and which queues an app has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import translate
from types import MappingProxyType
from typing import Any

from umbel.errors import ConfigurationError, QueueNotFound, UnknownOption, nearest
from umbel.imports import import_or_none
from umbel.model import Queue

ROUTED: frozenset[str] = frozenset(
    {
        "queue",
        "exchange",
        "routing_key",
        "priority",
        "serializer",
        "compression",
        "expires",
        "time_limit",
        "soft_time_limit",
    }
)
"""The call options that a route may give."""

Answer = Mapping[str, Any]
Router = Callable[..., Any]
"""``router(name, args, kwargs, options, task=None)``: a queue's name, a mapping of call options, or None for "ask the
next". ``options`` are those that the call and its task give; ``task`` is None when it is not known here."""

_NOTHING: Answer = MappingProxyType({})
_DOTTED = re.compile(r"[^\W\d]\w*([.:][^\W\d]\w*)+")
_WILD = re.compile(r"[*?\[]")


class Routes:
    """The routers of ``task_routes``; the first that knows a call decides.

    ``source`` is one of these, or a list of them:

    - a mapping of task names to a queue's name or to call options; a name may be a pattern (``"shop.mail.*"``) or a
      compiled regular expression, which must fit from the beginning. The plain name comes first, then the patterns in
      their order.
    - in a list: a tuple of such a name and where it goes, or a list of such tuples
    - a function (``Router``), or its dotted name, which is imported when the first call is routed

    Raises ``ConfigurationError`` for anything else, ``UnknownOption`` for an option that a route cannot give.
    """

    def __init__(self, source: Any) -> None:
        routers = source if isinstance(source, (list, tuple)) else [source]
        self._routers: list[_Map | Router | str] = [_router(each) for each in routers]
        self._known: dict[str, Answer] = {}
        """What is known of a task's name alone; ``of_name`` alone adds."""

    @property
    def fixed(self) -> bool:
        """Whether a task's name alone decides."""
        return all(isinstance(router, _Map) for router in self._routers)

    def of_name(self, name: str) -> Answer | None:
        """The options for every call of that task; None when it depends on the call."""
        known = self._known.get(name)
        if known is None:
            for router in self._routers:
                if not isinstance(router, _Map):
                    return None
                known = router.find(name)
                if known is not None:
                    break
            known = self._known[name] = known or _NOTHING
        return known

    def find(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any], task: Any
    ) -> Answer:
        """The options for this call, empty when no router knows it; raises what a router raises, and
        ``ConfigurationError`` for what one gives that cannot be meant."""
        known = self.of_name(name)
        if known is not None:
            return known
        for at, router in enumerate(self._routers):
            if isinstance(router, _Map):
                found = router.find(name)
            else:
                if isinstance(router, str):
                    router = self._routers[at] = _imported(router)
                found = _options(router(name, args, kwargs, options, task=task), f"the router {router!r} for {name}")
            if found is not None:
                return found
        return _NOTHING


class _Map:
    """Names, patterns and where they lead."""

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._names: dict[str, Answer] = {}
        self._patterns: list[tuple[re.Pattern[str], Answer]] = []
        for name, place in pairs:
            options = _options(place, f"task_routes[{_shown(name)}]") or _NOTHING
            if isinstance(name, re.Pattern) and isinstance(name.pattern, str):
                self._patterns.append((name, options))
            elif not isinstance(name, str) or not name:
                raise ConfigurationError(
                    f"task_routes: a task's name is a text or a compiled regular expression of text, not {name!r}"
                )
            elif _WILD.search(name):
                self._patterns.append((re.compile(translate(name)), options))
            else:
                self._names.setdefault(name, options)

    def find(self, name: str) -> Answer | None:
        exact = self._names.get(name)
        if exact is not None:
            return exact
        return next((options for pattern, options in self._patterns if pattern.match(name)), None)


def _router(source: Any) -> _Map | Router | str:
    if isinstance(source, Mapping):
        return _Map(source.items())
    if _is_pair(source):
        return _Map([source])
    if isinstance(source, (list, tuple)) and all(_is_pair(each) for each in source):
        return _Map(source)
    if isinstance(source, str) and _DOTTED.fullmatch(source):
        return source
    if callable(source):
        router: Router = source
        return router
    raise ConfigurationError(
        "task_routes: a router is a mapping of task names to queues, a pair of the two, a function, or a function's "
        f"dotted name, not {source!r}"
    )


def _is_pair(source: Any) -> bool:
    return isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], (str, re.Pattern))


def _options(place: Any, where: str) -> Answer | None:
    if place is None:
        return None
    if isinstance(place, str) and place:
        return {"queue": place}
    if not isinstance(place, Mapping):
        raise ConfigurationError(f"{where}: expected a queue's name or a mapping of call options, got {place!r}")
    for option in place:
        if option not in ROUTED:
            raise UnknownOption(where, str(option), ROUTED)
    return MappingProxyType({option: value for option, value in place.items() if value is not None})


def _imported(name: str) -> Router:
    module_name, _, attribute = name.rpartition(":" if ":" in name else ".")
    module = import_or_none(module_name, f"while reading task_routes: {name!r}")
    router = getattr(module, attribute, None)
    if not callable(router):
        what = f"there is no module {module_name!r}" if module is None else f"{module_name} has no function {attribute}"
        raise ConfigurationError(f"task_routes: {what} ({name!r})")
    found: Router = router
    return found


def _shown(name: Any) -> str:
    return repr(name.pattern if isinstance(name, re.Pattern) else name)


class Queues:
    """The queues of an app: those of ``task_queues``, the default one, and with ``create_missing`` any other name."""

    def __init__(self, declared: Sequence[Queue], default: str, create_missing: bool) -> None:
        self.default = default
        known = {queue.name: queue for queue in declared}
        self.declared: Mapping[str, Queue] = {**known, default: known.get(default, Queue(default))}
        """Those that are known by name, the default one among them."""
        self._create_missing = create_missing

    def find(self, name: str) -> Queue:
        """The queue of that name; raises ``QueueNotFound``."""
        known = self.declared.get(name)
        if known is not None:
            return known
        if self._create_missing:
            return Queue(name)
        raise QueueNotFound(
            f"there is no queue {name!r} in task_queues, and task_create_missing_queues is off"
            f"{nearest(name, self.declared)}"
        )

    def keyed(self, exchange: str | None, routing_key: str) -> Queue:
        """The declared queue of that routing key, of that exchange if one is given; raises ``QueueNotFound``, and
        ``ConfigurationError`` when several have it."""
        found = [
            queue
            for queue in self.declared.values()
            if queue.routing_key == routing_key and exchange in (None, queue.exchange)
        ]
        at = f"routing_key={routing_key!r}" + ("" if exchange is None else f" of exchange={exchange!r}")
        if not found:
            raise QueueNotFound(f"no queue in task_queues has {at}{nearest(routing_key, self._keys())}")
        if len(found) > 1:
            names = ", ".join(queue.name for queue in found)
            raise ConfigurationError(f"several queues in task_queues have {at}: {names}; a call goes to one queue")
        return found[0]

    def chosen(self, names: Sequence[str] | None, without: Sequence[str] = ()) -> tuple[Queue, ...]:
        """The queues that a worker takes from: those named, else all that are declared, but for those in ``without``.

        Raises ``QueueNotFound`` for a name, and ``ConfigurationError`` when none is left.
        """
        taken = [self.find(name) for name in dict.fromkeys(names)] if names else list(self.declared.values())
        for name in without:
            if name not in [queue.name for queue in taken]:
                listed = ", ".join(queue.name for queue in taken)
                raise QueueNotFound(f"queue {name!r} cannot be excluded: the worker would take from {listed}")
        left = tuple(queue for queue in taken if queue.name not in without)
        if not left:
            raise ConfigurationError("every queue is excluded: the worker would have nothing to do")
        return left

    def _keys(self) -> list[str]:
        return [queue.routing_key for queue in self.declared.values()]
