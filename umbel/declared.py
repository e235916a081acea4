"""What is declared of a task: its name, its body, its options, its life-cycle handlers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from umbel import current
from umbel.annotations import Annotations
from umbel.call import NAMES, CallOptions
from umbel.errors import ConfigurationError, UmbelError, UnknownOption
from umbel.request import Request
from umbel.retry import Backoff, classic
from umbel.signature_check import Checker, checker_for
from umbel.wire.redaction import Parameters, parameters_of
from umbel.wiring import App

if TYPE_CHECKING:
    from umbel.modelled import Models

OUTSIDE = Request()
"""What ``self.request`` is when the function is called like any function."""


_ABSENT = object()

_ENDS = ("on_success", "on_failure", "on_retry", "after_return")


class Declared:
    """What a worker needs to run a task. An attribute that is None follows the setting of the same meaning."""

    app: App
    name: str = ""
    typing: bool | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    priority: int | None = None
    expires: float | None = None
    serializer: str | None = None
    compression: str | None = None
    ignore_result: bool | None = None
    store_errors_even_if_ignored: bool | None = None
    acks_late: bool | None = None
    acks_on_failure_or_timeout: bool | None = None
    reject_on_worker_lost: bool | None = None
    track_started: bool | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    trail: bool = True
    """Whether its result names what it sent while it ran."""
    throws: tuple[type[BaseException], ...] = ()
    max_retries: int | None = 3
    default_retry_delay: float = 180.0
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_kwargs: Mapping[str, Any] = MappingProxyType({})
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600.0
    retry_jitter: bool = True
    retry_policy: Backoff | None = None
    """When it is tried again by itself; ``@app.task(retry=Backoff(…))`` sets it, else the attributes above do."""
    pydantic: bool = False
    """Whether annotations that speak of pydantic models are acted on: see ``umbel.modelled``."""
    pydantic_strict: bool = False
    pydantic_context: Mapping[str, Any] | None = None
    pydantic_dump_kwargs: Mapping[str, Any] | None = None

    OPTIONS: ClassVar[frozenset[str]] = frozenset(
        {
            "typing",
            "queue",
            "exchange",
            "routing_key",
            "priority",
            "expires",
            "serializer",
            "compression",
            "ignore_result",
            "store_errors_even_if_ignored",
            "acks_late",
            "acks_on_failure_or_timeout",
            "reject_on_worker_lost",
            "track_started",
            "time_limit",
            "soft_time_limit",
            "trail",
            "throws",
            "max_retries",
            "default_retry_delay",
            "autoretry_for",
            "dont_autoretry_for",
            "retry_kwargs",
            "retry_backoff",
            "retry_backoff_max",
            "retry_jitter",
            "retry_policy",
            "pydantic",
            "pydantic_strict",
            "pydantic_context",
            "pydantic_dump_kwargs",
        }
    )

    SENT: ClassVar[frozenset[str]] = (OPTIONS & NAMES) - {"retry_policy"}
    """Those that are options of each call, too."""

    listens: bool = False
    """Whether it has handlers that are called at its end; known once the task belongs to an app."""

    prepares: bool = False
    """Whether it has a handler that is called before it; known once the task belongs to an app."""

    is_async: bool = False
    """Whether the body is an ``async def``; known once the task belongs to an app."""

    models: Models | None = None
    """What ``pydantic`` is about; None as long as that is false."""

    _checker: Checker | None = None

    _defaults: CallOptions | None = None
    """The call options that the task lends; None until they are wanted, and after a write to the settings."""

    _own: Mapping[str, Any] | None = None
    """What the instance had in the place of what ``task_annotations`` say; None where they say nothing."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The body of the task; ``@app.task`` puts the function here, a subclass writes it."""
        raise UmbelError(f"the task {self.name} has no body: define run()")

    def bind(self, app: App) -> None:
        """Make this the task of ``app``. Called once, by the registry's owner.

        Raises ``ConfigurationError`` for an option that cannot be meant.
        """
        self.app = app
        self._declared_policy = self.retry_policy
        self._take_options()
        kind = type(self)
        self.listens = any(getattr(kind, name) is not getattr(Declared, name) for name in _ENDS)
        self.prepares = kind.before_start is not Declared.before_start
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(self.run))
        app.conf.on_write(self._forget)

    def annotate(self) -> None:
        """Let ``task_annotations`` replace what was declared, as it says now.

        Raises ``UnknownOption`` for an option that no task has, ``ConfigurationError`` for one that cannot be meant.
        """
        annotations = self.app.conf.task_annotations
        if annotations is None and self._own is None:
            return
        changes = Annotations(annotations).of(self)
        policy = changes.pop("retry", None)  # the name is a method's
        for option in changes:
            if option not in self.OPTIONS and (
                option.startswith("_") or callable(getattr(type(self), option, callable))
            ):
                raise UnknownOption(f"task_annotations for {self.name}", option, self.OPTIONS | {"retry"})
        held = vars(self)
        for name, value in (self._own or {}).items():
            held.pop(name, None) if value is _ABSENT else held.update({name: value})
        self._own = {name: held.get(name, _ABSENT) for name in changes} if annotations is not None else None
        held.update(changes)
        self._take_options(policy)

    def _take_options(self, policy: Backoff | None = None) -> None:
        """Check the options, and make what follows from them."""
        CallOptions(**{name: getattr(self, name) for name in self.SENT}).check()
        if not isinstance(self.throws, tuple):
            raise ConfigurationError(f"{self.name}: throws must be a tuple of exception classes, not {self.throws!r}")
        self.retry_policy = policy or self._declared_policy or classic(self)
        if self.pydantic and self.models is None:
            from umbel.modelled import Models

            self.models = Models(self, self.run)
            vars(self)["run"] = self.models.body()
        strict = self.app.strict_typing if self.typing is None else self.typing
        self._checker = checker_for(self.run, self.name, skip_first=False) if strict else None
        self._defaults = None

    def _forget(self) -> None:
        self._defaults = None

    @property
    def origin(self) -> str:
        """Where the body is defined: ``module.qualname``."""
        body: Any = inspect.unwrap(self.run)
        if type(self).run is not Declared.run and not hasattr(self, "__wrapped__"):
            return f"{type(self).__module__}.{type(self).__qualname__}"
        return f"{body.__module__}.{body.__qualname__}"

    @property
    def request(self) -> Request:
        """The attempt under way in this thread or coroutine."""
        attempt = current.request.get()
        return OUTSIDE if attempt is None else attempt

    @functools.cached_property
    def parameters(self) -> Parameters:
        """What the body calls its arguments, so that ``task_redact_args`` finds those that came without a name."""
        return parameters_of(self.run)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def check(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Raise ``TypeError`` when the arguments do not fit the function's signature."""
        if not isinstance(args, list | tuple):
            raise TypeError(f"args must be a list or a tuple, not {args!r}")
        if not isinstance(kwargs, Mapping):
            raise TypeError(f"kwargs must be a mapping, not {kwargs!r}")
        if self._checker is not None:
            self._checker(*args, **kwargs)

    def plain(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments as they travel: data in the place of pydantic models. Raises ``InvalidModel``."""
        if self.models is None or not self.pydantic:
            return args, kwargs
        return self.models.dumped(args, kwargs)

    def whole(self, value: Any) -> Any:
        """The result as the task returned it: a pydantic model made of its data. Raises ``InvalidModel``."""
        return value if self.models is None or not self.pydantic else self.models.revived(value)

    # Handlers: called in the worker. Any of them may be an ``async def``.

    def before_start(self, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Called before the function; what it raises is the task's own exception, and the function is not called."""

    def on_success(self, retval: Any, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Called when the function returned, before the result is stored."""

    def on_failure(
        self, exc: BaseException, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], einfo: str | None
    ) -> Any:
        """Called when the task failed, before that is stored; ``einfo`` is the traceback's text."""

    def on_retry(
        self, exc: BaseException, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], einfo: str | None
    ) -> Any:
        """Called when the task is to be tried again, before that is stored; ``exc`` is the ``Retry``."""

    def after_return(
        self,
        status: str,
        retval: Any,
        task_id: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        einfo: str | None,
    ) -> Any:
        """Called after ``on_success`` or ``on_failure``; not when the task is tried again, ignored or rejected."""
