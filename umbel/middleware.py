"""Middlewares: code of the user's around every call that is sent, and around every task that runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from umbel.errors import ConfigurationError
from umbel.imports import import_or_none
from umbel.model import Message
from umbel.request import Request
from umbel.settings.loader import Settings

NextSend = Callable[[Message], Message]
NextRun = Callable[[Request], Any]


class Middleware(Protocol):
    """What goes around sending and running. A subclass writes one of the two or both; the other costs nothing."""

    def send(self, message: Message, next: NextSend) -> Message:
        """Around a call that is to be sent, in the caller's thread: once for each message, before any of them goes.

        ``next(message)`` passes it on and gives it as those further in have left it; nothing has been sent by then.
        Gives the message that is sent, with the same id. What it raises is raised by the call, and nothing is sent.
        """
        return next(message)

    def run(self, request: Request, next: NextRun) -> Any:
        """Around one attempt at a task, where its function is called.

        ``next(request)`` gives what the function returned. As an ``async def``, with ``await next(request)``, it
        serves every task; around a plain function, where there is no loop, that is all it may wait for. As a plain
        ``def`` it serves plain functions alone, and ``async def`` tasks are refused. What it returns is the task's
        result; what it raises is what the task raised.
        """
        return next(request)


class Runnable(Protocol):
    """What a pool calls: a task, or what stands around one. ``is_async``: ``run`` is to be awaited."""

    is_async: bool

    @property
    def name(self) -> str: ...

    def run(self, *args: Any, **kwargs: Any) -> Any: ...


class _Around:
    """A task for one attempt, with its middlewares around it."""

    __slots__ = ("_layers", "_request", "is_async", "name")

    def __init__(self, task: Runnable, layers: NextRun, request: Request) -> None:
        self.name = task.name
        self.is_async = task.is_async
        self._layers = layers
        self._request = request

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Call the outermost; the arguments are those of the request."""
        return self._layers(self._request)


class Onion:
    """The middlewares of an app, folded into one: those of the setting, then those added; the first is outermost."""

    def __init__(self, conf: Settings) -> None:
        self._conf = conf
        self._added: list[Any] = []
        self._folded = False
        self._layers: dict[Runnable, NextRun] = {}
        """What is around each task that has run."""
        self.sends: NextSend | None = None
        """All that is around sending; None when nothing is, or nothing was folded yet."""
        self.runs: tuple[Middleware, ...] = ()
        """Those around running, the outermost first."""
        conf.on_write(self._forget)

    def add(self, middleware: Any) -> None:
        """One more, inside those there are: an instance, a class or function that makes one, or ``module:name`` of it.

        Raises ``ConfigurationError`` for what is no middleware.
        """
        self._added.append(_made(middleware, "add_middleware"))
        self._forget()
        self.fold()

    def fold(self) -> None:
        """Make ready; repeatable. Raises ``ConfigurationError`` for a setting that names no middleware."""
        if self._folded:
            return
        every = [*(_made(name, "setting middleware") for name in self._conf.middleware), *self._added]
        send: NextSend | None = None
        for middleware in reversed([each for each in every if _writes(each, "send")]):
            send = _sending(middleware, send or _as_it_is)
        self.runs = tuple(each for each in every if _writes(each, "run"))
        self.sends = send
        self._layers = {}
        self._folded = True

    def check(self, tasks: Iterable[Runnable]) -> None:
        """Raise ``ConfigurationError`` for an ``async def`` task that a middleware cannot go around."""
        self.fold()
        if self.runs:
            for task in tasks:
                self._around(task)

    def around(self, task: Runnable, request: Request) -> Runnable:
        """The task for this attempt, with everything around it. Raises as ``check``."""
        layers = self._layers.get(task)
        if layers is None:
            layers = self._layers[task] = self._around(task)
        return _Around(task, layers, request)

    def _around(self, task: Runnable) -> NextRun:
        layers = _calling(task)
        for middleware in reversed(self.runs):
            if task.is_async or inspect.iscoroutinefunction(middleware.run):
                layers = _awaiting(middleware, layers, task)
            else:
                layers = _running(middleware, layers)
        return layers

    def _forget(self) -> None:
        self._folded = False


def _as_it_is(message: Message) -> Message:
    return message


def _sending(middleware: Middleware, inner: NextSend) -> NextSend:
    def send(message: Message) -> Message:
        sent = middleware.send(message, inner)
        if not isinstance(sent, Message) or sent.id != message.id:
            raise ConfigurationError(
                f"{_called(middleware)}.send must give the message to send, with the id {message.id}, and gave "
                f"{sent!r:.200}; end it with 'return next(message)', and change messages with dataclasses.replace"
            )
        return sent

    return send


def _calling(task: Runnable) -> NextRun:
    def run(request: Request) -> Any:
        return task.run(*request.args, **request.kwargs)

    return run


def _running(middleware: Middleware, inner: NextRun) -> NextRun:
    return lambda request: middleware.run(request, inner)


def _awaiting(middleware: Middleware, inner: NextRun, task: Runnable) -> NextRun:
    if not inspect.iscoroutinefunction(middleware.run):
        raise ConfigurationError(
            f"{_called(middleware)}.run is a plain function, and the task {task.name} is an 'async def': write it as "
            "'async def run' with 'await next(request)', which goes around plain functions as well"
        )
    if task.is_async:
        return _running(middleware, inner)

    async def following(request: Request) -> Any:
        return inner(request)

    return lambda request: _finished(middleware.run(request, following), middleware, task)


def _finished(work: Coroutine[Any, Any, Any], middleware: Middleware, task: Runnable) -> Any:
    """What a coroutine returns that waits for no loop."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError(
        f"{_called(middleware)}.run waited for something beside next(request), and the task {task.name} is a plain "
        "function, which no loop runs: make the task an 'async def', or wait there only around such tasks"
    )


def _writes(middleware: Any, method: str) -> bool:
    """Whether it has something of its own to do there."""
    return getattr(type(middleware), method) is not getattr(Middleware, method)


def _called(middleware: Any) -> str:
    return f"{type(middleware).__module__}.{type(middleware).__qualname__}"


def _made(given: Any, where: str) -> Middleware:
    made = _named(given, where) if isinstance(given, str) else given
    if isinstance(made, type) or inspect.isroutine(made):
        made = made()
    missing = [name for name in ("send", "run") if not callable(getattr(type(made), name, None))]
    if missing:
        raise ConfigurationError(
            f"{where}: {made!r} is no middleware: it has no method {missing[0]!r}; subclass umbel.middleware.Middleware"
        )
    return made  # type: ignore[no-any-return]


def _named(name: str, where: str) -> Any:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ConfigurationError(f"{where}: {name!r} is not of the form 'module:Class'")
    home = import_or_none(module, f"while {where} imported {name!r}")
    if home is None:
        raise ConfigurationError(f"{where}: there is no module {module!r}; correct {name!r}")
    if not hasattr(home, attribute):
        raise ConfigurationError(f"{where}: the module {module!r} has no {attribute!r}; correct {name!r}")
    return getattr(home, attribute)
