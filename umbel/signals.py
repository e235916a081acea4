"""The signals: what an app and a worker tell whoever connects a function to them."""

from __future__ import annotations

import difflib
import functools
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, overload

from umbel.errors import ConfigurationError

logger = logging.getLogger("umbel.signals")

Receiver = Callable[..., Any]
R = TypeVar("R", bound=Receiver)


class _Connected(NamedTuple):
    """``of`` gives the receiver, or None when it is gone; ``identity`` is what it is disconnected by."""

    of: Callable[[], Receiver | None]
    identity: Any
    sender: Any


class Signal:
    """Something that happens now and then. Safe from any thread; connecting counts for this process.

    Receivers are called in the order in which they were connected, in the thread in which it happens. One that raises
    is logged, and what happens goes on. ``arguments`` are the names of what they get beside ``signal`` and ``sender``.
    """

    def __init__(self, name: str, arguments: str = "", *, among: set[Signal] | None = None) -> None:
        self.name = name
        self.arguments = frozenset(arguments.split())
        self.receivers: tuple[_Connected, ...] = ()
        """Replaced as a whole by every change, so that who sends needs no lock; empty when nobody listens."""
        self._among = among
        self._changing = threading.RLock()  # a receiver may be collected, and so leave, while another one comes

    def __repr__(self) -> str:
        return f"<Signal {self.name}>"

    @overload
    def connect(self, receiver: R, sender: Any = ..., weak: bool = ..., dispatch_uid: Any = ...) -> R: ...

    @overload
    def connect(
        self, receiver: None = None, sender: Any = ..., weak: bool = ..., dispatch_uid: Any = ...
    ) -> Callable[[R], R]: ...

    def connect(
        self, receiver: Receiver | None = None, sender: Any = None, weak: bool = True, dispatch_uid: Any = None
    ) -> Any:
        """Call ``receiver(signal=…, sender=…, **arguments)`` from now on; also a decorator, with or without options.

        With ``sender``, only for what that one sends: a text, or an object; a task and its name are the same. The
        receiver is held weakly unless ``weak=False``: a function that nothing else holds is forgotten at once.
        Connected again (the same function, or one with the same ``dispatch_uid``, for the same sender) it is called
        once.

        Raises ``ConfigurationError`` for what cannot be called, takes no ``**kwargs`` or is an ``async def``.
        """
        if receiver is None:
            return functools.partial(self.connect, sender=sender, weak=weak, dispatch_uid=dispatch_uid)
        self._check(receiver)
        identity, who = _identity(receiver) if dispatch_uid is None else dispatch_uid, _name_of(sender)
        if weak:
            kind = weakref.WeakMethod if hasattr(receiver, "__self__") else weakref.ref
            of: Callable[[], Receiver | None] = kind(receiver, lambda gone: self._drop(lambda each: each.of is gone))
        else:
            of = lambda: receiver  # noqa: E731  the shape of a weak reference
        with self._changing:
            if not any(each.identity == identity and _same(each.sender, who) for each in self.receivers):
                self._set((*self.receivers, _Connected(of, identity, who)))
        return receiver

    def disconnect(self, receiver: Receiver | None = None, sender: Any = None, dispatch_uid: Any = None) -> bool:
        """Undo the ``connect`` with the same arguments; gives whether there was one."""
        identity, who = _identity(receiver) if dispatch_uid is None else dispatch_uid, _name_of(sender)
        return self._drop(lambda each: each.identity == identity and _same(each.sender, who))

    def send(self, sender: Any = None, **arguments: Any) -> list[tuple[Receiver, Any]]:
        """Call the receivers; gives each with what it returned, or with the exception that it raised.

        An exception, ``SystemExit`` too, is logged and not raised.
        """
        answers: list[tuple[Receiver, Any]] = []
        if not self.receivers:
            return answers
        who = _name_of(sender)
        for connected in self.receivers:
            receiver = connected.of()
            if receiver is None or not (connected.sender is None or _same(connected.sender, who)):
                continue
            try:
                answers.append((receiver, receiver(signal=self, sender=sender, **arguments)))
            except (Exception, SystemExit) as error:
                logger.exception("%s: the receiver %r raised; everything goes on as without it", self.name, receiver)
                answers.append((receiver, error))
        return answers

    def _check(self, receiver: Any) -> None:
        import inspect

        if not callable(receiver):
            raise ConfigurationError(f"{self.name}.connect takes a function, not {receiver!r}")
        if inspect.iscoroutinefunction(receiver):
            raise ConfigurationError(f"{self.name}: the receiver {receiver!r} is async; a signal waits for no loop")
        try:
            parameters = inspect.signature(receiver).parameters.values()
        except ValueError:  # something built in that does not say
            return
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            raise ConfigurationError(
                f"{self.name}: the receiver {receiver!r} must take **kwargs, for signals may get more arguments"
            )

    def _drop(self, unwanted: Callable[[_Connected], bool]) -> bool:
        with self._changing:
            kept = tuple(each for each in self.receivers if not unwanted(each))
            dropped = len(kept) != len(self.receivers)
            self._set(kept)
        return dropped

    def _set(self, receivers: tuple[_Connected, ...]) -> None:
        self.receivers = receivers
        if self._among is not None:
            (self._among.add if receivers else self._among.discard)(self)


def _identity(receiver: Any) -> Any:
    method = getattr(receiver, "__func__", None)
    return id(receiver) if method is None else (id(receiver.__self__), id(method))


def _name_of(sender: Any) -> Any:
    """A task's name in its place: each process, and ``shared_task``, has an object of its own for the same task."""
    name = sender if isinstance(sender, str) else getattr(sender, "name", None)
    return name if isinstance(name, str) and name else sender


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str) and one == other)


ends: set[Signal] = set()
"""Those signals of a task's end that somebody listens to; empty when nobody does."""

before_task_publish = Signal("before_task_publish", "body exchange routing_key headers properties declare retry_policy")
after_task_publish = Signal("after_task_publish", "headers body exchange routing_key")

task_received = Signal("task_received", "request")
task_prerun = Signal("task_prerun", "task_id task args kwargs")
task_postrun = Signal("task_postrun", "task_id task args kwargs retval state", among=ends)
task_success = Signal("task_success", "result", among=ends)
task_retry = Signal("task_retry", "request reason einfo", among=ends)
task_failure = Signal("task_failure", "task_id exception args kwargs traceback einfo", among=ends)
task_revoked = Signal("task_revoked", "request terminated signum expired", among=ends)
task_rejected = Signal("task_rejected", "message exc")
task_unknown = Signal("task_unknown", "message exc name id")
task_internal_error = Signal("task_internal_error", "task_id args kwargs request exception traceback einfo")

worker_starting = Signal("worker_starting", "conf options")
import_modules = Signal("import_modules")
worker_init = Signal("worker_init")
worker_ready = Signal("worker_ready")
worker_shutting_down = Signal("worker_shutting_down", "sig how exitcode")
worker_shutdown = Signal("worker_shutdown")
worker_process_init = Signal("worker_process_init")
worker_process_shutdown = Signal("worker_process_shutdown", "pid exitcode")

setup_logging = Signal("setup_logging", "loglevel logfile format colorize")
after_setup_logger = Signal("after_setup_logger", "logger loglevel logfile format colorize")
after_setup_task_logger = Signal("after_setup_task_logger", "logger loglevel logfile format colorize")

_ABSENT = {
    "task_sent": "use after_task_publish",
    "beat_init": "there is no scheduler yet",
    "beat_embedded_init": "there is no scheduler yet",
    "heartbeat_sent": "workers send no events yet",
    "worker_before_create_process": "runners are forked by a server of their own; use worker_process_init",
    "user_preload_options": "the command line takes no options of the program",
    "eventlet_pool_started": "there is no such pool",
    "eventlet_pool_preshutdown": "there is no such pool",
    "eventlet_pool_postshutdown": "there is no such pool",
    "eventlet_pool_apply": "there is no such pool",
}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    near = difflib.get_close_matches(
        name, [name for name, value in globals().items() if isinstance(value, Signal)], n=1
    )
    why = _ABSENT.get(name) or (f"did you mean {near[0]}?" if near else "docs/signals.md lists those that exist")
    raise AttributeError(f"umbel.signals has no {name}: {why}")
