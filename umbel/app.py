"""The app: where tasks are declared, settings are kept and brokers are reached from."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, overload

from umbel import clock, current, signals
from umbel.call import NO_OPTIONS
from umbel.completing import Completed
from umbel.connected import Connected
from umbel.declaring import Declare, DeclareBound
from umbel.errors import ConfigurationError, NotRegistered, UnknownOption
from umbel.lifecycle import Lifecycle
from umbel.lifespans import Generating, Lifespans
from umbel.middleware import Onion
from umbel.publisher import Publisher
from umbel.registry import TaskRegistry
from umbel.result import AsyncResult
from umbel.revoking import revoke
from umbel.routing import Queues
from umbel.serial import accepted
from umbel.settings.loader import Settings
from umbel.task import AsyncTask, Task, from_function
from umbel.wire.redaction import UNKNOWN, Parameters
from umbel.wiring import Rehearsal

if TYPE_CHECKING:
    from umbel.dead import DeadLetterOffice
    from umbel.wire.protection import Protection

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
K = TypeVar("K", bound=Task[..., Any])

MAIN_COPY = "__umbel_main__"
"""The name under which a runner imports the program whose ``__main__`` made the app."""


class Umbel(Connected, Lifecycle):
    """An app. Making one connects to nothing and reads no configuration; ``with`` closes it in the end.

    ``main`` is the name that tasks of ``__main__`` get in front. ``broker`` and ``backend`` are URLs; without a
    broker, an SQLite file of the project is used, and without a backend the broker's own store where it has one.
    ``include`` names modules that a worker imports. ``strict_typing`` says whether calls are held against the
    signatures of tasks that do not say so themselves (``typing``). Further keywords are settings; one that does not
    exist raises ``UnknownOption``.
    """

    def __init__(
        self,
        main: str = "tasks",
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: Sequence[str] = (),
        set_as_current: bool = True,
        strict_typing: bool = True,
        **settings: Any,
    ) -> None:
        given = {"broker_url": broker, "result_backend": backend, "include": tuple(include) or None}
        self.main = main
        self.strict_typing = strict_typing
        self.clock: clock.Clock = clock.SystemClock()
        super().__init__(Settings(constructor={k: v for k, v in given.items() if v is not None} | settings))
        self.conf.on_first_read(self)
        self.middleware = Onion(self.conf)
        self.tasks = TaskRegistry()
        self.Task: type[Task[..., Any]] = Task
        """The class below which class-based tasks are written."""
        self.publisher = Publisher(self)
        self.lifespans = Lifespans()
        """What lives as long as a runner of this app's workers."""
        self._discovered: list[tuple[Iterable[str] | Callable[[], Iterable[str]], str | None]] = []
        self.rehearsal: Rehearsal | None = None
        """Who runs this app's tasks in the process of those that wait for them; ``umbel.testing`` sets it."""
        current.join(self)
        if set_as_current:
            current.choose(self)

    def __repr__(self) -> str:
        return f"<Umbel {self.main}>"

    # -- tasks --------------------------------------------------------------------------------------------------

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        bind: Literal[True],
        name: str | None = ...,
        base: type[Task[..., Any]] | None = ...,
        **options: Any,
    ) -> DeclareBound: ...

    @overload
    def task(
        self,
        function: None = None,
        /,
        *,
        bind: Literal[False] = ...,
        name: str | None = ...,
        base: type[Task[..., Any]] | None = ...,
        **options: Any,
    ) -> Declare: ...

    def task(
        self,
        function: Any = None,
        /,
        *,
        name: str | None = None,
        bind: bool = False,
        base: type[Task[..., Any]] | None = None,
        **options: Any,
    ) -> Any:
        """Make a function a task, with or without options: ``@app.task``, ``@app.task(queue="mail")``.

        ``bind=True`` hands the task itself to the function as its first argument; ``base`` is a subclass of ``Task``.
        The options are the attributes of ``Task``; one that does not exist raises ``UnknownOption``.
        """
        chosen = base if base is not None else Task
        if "retry" in options:
            options["retry_policy"] = options.pop("retry")  # on a task, the name is a method's
        for option in options:
            if option not in Task.OPTIONS and (option.startswith("_") or not hasattr(chosen, option)):
                known = (Task.OPTIONS - {"retry_policy"}) | {"name", "bind", "base", "retry"}
                raise UnknownOption("@task option", option, known)

        def declare(body: Callable[..., Any]) -> Task[..., Any]:
            if not callable(body) or not hasattr(body, "__name__"):
                raise ConfigurationError(f"@app.task takes a function, not {body!r}")
            task_name = name if name is not None else self.name_for(body)
            return self.register_task(
                from_function(self, body, name=task_name, bind=bind, base=chosen, options=options)
            )

        return declare if function is None else declare(function)

    def name_for(self, function: Callable[..., Any]) -> str:
        """``module.function``; a function of ``__main__`` gets the app's name in front."""
        module = self.main if function.__module__ in ("__main__", MAIN_COPY) else function.__module__
        return f"{module}.{function.__name__}"

    def register_task(self, task: K) -> K:
        """Add an instance of a task class.

        Raises ``ConfigurationError`` when it has no name, or one that another function has.
        """
        if isinstance(task, type):
            raise ConfigurationError(f"register_task takes an instance: register_task({task.__name__}())")
        if not task.name and type(task) is not Task:
            task.name = f"{type(task).__module__}.{type(task).__name__}"
        known = self.tasks.register(task)
        if known is task:
            task.bind(self)
            if self.finalized:
                task.annotate()
        return cast("K", known)

    def add_middleware(self, middleware: Any) -> None:
        """Put one more around every call that is sent and every task that runs, inside those that are there already:
        ``umbel.middleware.Onion.add``."""
        self.middleware.add(middleware)

    def lifespan(self, function: Generating) -> Generating:
        """Have every runner process run this generator function, sync or async, up to its ``yield`` before the first
        task, and the rest after the last: ``umbel.lifespans``."""
        return self.lifespans.add(function)

    def send_task(
        self, name: str, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[Any]:
        """Send a call by name; the task need not be known here. A known one lends its options and its signature.

        Raises as ``Task.apply_async``.
        """
        known = self.tasks.get(name)
        if known is not None:
            return known.apply_async(args, kwargs, **options)
        said = NO_OPTIONS.with_(**options)
        route, message = self.publisher.prepare(name, args or (), kwargs or {}, said)
        if self.publisher.eager:
            raise NotRegistered(
                f"task_always_eager is on and no task named {name!r} is known here, where it has to run"
            )
        self.publisher.send(route, message, **said.offering)
        return AsyncResult(message.id, self, ignored=message.ignore_result)

    def result(self, task_id: str) -> AsyncResult[Any]:
        """The result of the task of that id, whoever sent it."""
        return AsyncResult(task_id, self)

    @overload
    def as_completed(self, results: Iterable[AsyncResult[T]], timeout: float | None = ...) -> Completed[T]: ...

    @overload
    def as_completed(
        self, results: Iterable[str | AsyncResult[Any]], timeout: float | None = ...
    ) -> Completed[Any]: ...

    def as_completed(self, results: Iterable[Any], timeout: float | None = None) -> Completed[Any]:
        """These results, or those of these ids, each as soon as its task has ended: for ``for`` and ``async for``.

        One watch serves them all. ``timeout`` is in seconds, from the first step on. Raises as ``Completed`` says.
        """
        return Completed(self, results, timeout)

    def revoke(self, task_ids: str | Iterable[str], *, terminate: bool = False) -> None:
        """Take calls back, whoever sent them; ``terminate=True`` stops those that run: ``umbel.revoking.revoke``."""
        revoke(self, task_ids, terminate=terminate)

    @property
    def dead(self) -> DeadLetterOffice:
        """The messages that could not be done: to look at, to send again, to forget."""
        from umbel.dead import DeadLetterOffice

        return DeadLetterOffice(self)

    # -- modules ------------------------------------------------------------------------------------------------

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]],
        related_name: str | None = "tasks",
        *,
        force: bool = False,
    ) -> None:
        """Have the worker import ``<package>.<related_name>`` of each package; ``force=True`` imports at once.

        A package without such a module is passed over; an import that fails inside one is raised. ``related_name=None``
        imports the packages themselves.
        """
        self._discovered.append((packages, related_name))
        if force:
            _discover(packages, related_name)

    def import_modules(self) -> None:
        """Import what ``imports``, ``include`` and ``autodiscover_tasks`` name, and what the receivers of the signal
        ``import_modules`` want, then ``finalize``; a worker calls it when it starts."""
        signals.import_modules.send(sender=self)
        for module in (*self.conf.imports, *self.conf.include):
            importlib.import_module(module)
        for packages, related_name in self._discovered:
            _discover(packages, related_name)
        for task in list(self.tasks.values()):
            task.annotate()
        self.finalize()

    # -- settings and what they choose --------------------------------------------------------------------------

    def config_from_object(self, source: Any, *, namespace: str | None = None) -> None:
        """Read settings from a module (or its name), a class or an object; with ``namespace="UMBEL"`` from its
        ``UMBEL_…`` attributes. It is imported at the first look at a setting; the last call wins."""
        self.conf.config_from_object(source, namespace=namespace)

    def config_from_envvar(self, variable: str, *, namespace: str | None = None) -> None:
        """As ``config_from_object``, with the module that an environment variable names.

        Raises ``ConfigurationError`` when the variable is not set.
        """
        self.conf.config_from_envvar(variable, namespace=namespace)

    @property
    def queues(self) -> Queues:
        """The queues of this app: ``task_queues`` and ``task_default_queue``."""
        conf = self.conf
        return Queues(conf.task_queues, conf.task_default_queue, conf.task_create_missing_queues)

    def select_queues(self, names: Iterable[str]) -> None:
        """Have this app's workers take tasks from these queues alone: ``worker_queues``. Calls go where they went."""
        self.conf.worker_queues = tuple(names)

    def now(self) -> datetime:
        """The time by this app's clock, in ``timezone``."""
        return datetime.fromtimestamp(self.clock.now(), self.timezone)

    @property
    def timezone(self) -> tzinfo:
        """The zone of naive datetimes, and of those on the wire: ``timezone``, else UTC, or with ``enable_utc`` off the
        machine's."""
        name = self.conf.timezone
        if name == "UTC" or (name is None and self.conf.enable_utc):
            return UTC
        if name is None:
            return clock.MachineZone()
        from zoneinfo import ZoneInfo

        return ZoneInfo(name)

    @property
    def accept_content(self) -> frozenset[str]:
        """The content types that a worker of this app decodes."""
        return accepted(self.conf.accept_content)

    @property
    def result_content(self) -> frozenset[str]:
        """The content types accepted of results."""
        names = self.conf.result_accept_content or self.conf.accept_content
        return accepted((*names, self.conf.result_serializer))

    @property
    def protection(self) -> Protection | None:
        """What signs and seals what is sent, and checks and opens what arrives; None where no keys are configured."""
        conf = self.conf
        signing_keys, sealing_keys = conf.security_signing_keys, conf.security_encryption_keys
        if not signing_keys and not sealing_keys:
            return None
        from umbel.wire.protection import protection_with

        return protection_with(signing_keys, conf.security_signing_max_age, sealing_keys, self.clock.now)

    def whole(self, name: str | None, value: Any) -> Any:
        """What the task of that name returned, of the data that was kept of it, as far as it is known here."""
        task = self.tasks.get(name) if name is not None else None
        return value if task is None else task.whole(value)

    def parameters_of(self, name: str) -> Parameters:
        """What the task of that name calls its arguments, as far as it is known here."""
        task = self.tasks.get(name)
        return UNKNOWN if task is None else task.parameters

    def set_current(self) -> None:
        """Make this the current app of the process."""
        current.choose(self)


def _discover(packages: Iterable[str] | Callable[[], Iterable[str]], related_name: str | None) -> None:
    for package in packages() if callable(packages) else packages:
        module = package if related_name is None else f"{package}.{related_name}"
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if related_name is None or error.name != module or package not in sys.modules:
                raise
