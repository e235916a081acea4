"""Tasks: functions that can be called in the background."""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from umbel import current
from umbel.call import NAMES, NO_OPTIONS, CallOptions
from umbel.declared import Declared
from umbel.eager import EagerResult, run_here
from umbel.errors import ConfigurationError, Retry
from umbel.model import Record
from umbel.progress import here as progress
from umbel.progress.flusher import PROGRESS
from umbel.progress.reporter import Reporter, Track
from umbel.reporting import report, sealed_for
from umbel.result import AsyncResult
from umbel.retrying import exceeded
from umbel.wiring import App

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


class Task(Declared, Generic[P, R]):
    """A function that can be called in the background; one instance a process, so its attributes last.

    Made by ``@app.task``, or by subclassing with ``name`` and ``run`` and ``app.register_task``.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _find, (self.name,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here and now; no message, no state."""
        token = current.request.set(None)
        try:
            return cast("R", self.run(*args, **kwargs))
        finally:
            current.request.reset(token)

    # -- sending ------------------------------------------------------------------------------------------------

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send a call with these arguments; see ``apply_async``."""
        if self._checker is not None:
            self._checker(*args, **kwargs)
        return self.send(args, kwargs, NO_OPTIONS)

    def delay_many(self, arguments: Iterable[Sequence[Any]]) -> list[AsyncResult[R]]:
        """Send one call for each tuple of positional arguments, in one durable write: all or none.

        Raises as ``apply_async``; then nothing was sent.
        """
        return self.send_many(arguments, NO_OPTIONS)

    def options(self, **options: Any) -> Call[P, R]:
        """A call of this task with these options, to be sent by ``.delay(…)``; raises as ``apply_async``."""
        return Call(self, NO_OPTIONS.with_(**options))

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """Send a call. When it returns, the broker has the message durably.

        ``options`` are the fields of ``umbel.call.CallOptions``.

        Raises ``TypeError`` when the arguments do not fit the function, ``UnknownOption`` and ``ConfigurationError``
        for options, ``InvalidModel`` for an argument that its pydantic model refuses, ``EncodeError`` for one that
        cannot be written, ``PublishError`` when the broker did not take the message within ``broker_publish_timeout``.
        In every case nothing was sent.
        """
        given, named = () if args is None else args, {} if kwargs is None else kwargs
        self.check(given, named)
        return self.send(given, named, NO_OPTIONS.with_(**options) if options else NO_OPTIONS)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """As ``delay``, while the caller's loop goes on.

        The arguments must not be changed meanwhile. Cancelling the wait leaves open whether the call was sent.
        """
        if self._checker is not None:
            self._checker(*args, **kwargs)
        return await self.asend(args, kwargs, NO_OPTIONS)

    async def adelay_many(self, arguments: Iterable[Sequence[Any]]) -> list[AsyncResult[R]]:
        """As ``delay_many``, in a thread of umbel's own while the caller's loop goes on."""
        calls = list(arguments)
        return await _aside(lambda: self.delay_many(calls))

    async def aapply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult[R]:
        """As ``apply_async``, in the way of ``adelay``."""
        given, named = () if args is None else args, {} if kwargs is None else kwargs
        self.check(given, named)
        return await self.asend(given, named, NO_OPTIONS.with_(**options) if options else NO_OPTIONS)

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """As ``delay``, once the open transaction of Django's default database is committed; see
        ``apply_async_on_commit``."""
        self.check(args, kwargs)
        return self.send_on_commit(args, kwargs, NO_OPTIONS)

    def apply_async_on_commit(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        using: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """As ``apply_async``, once the open transaction of Django's database ``using`` is committed, the default one by
        default; at once where none is open.

        The call is written now, so that it raises here for whatever is wrong with it, and its id is known. After a
        rollback it is never sent. ``PublishError`` is raised after the commit, and the data stay. Raises
        ``ConfigurationError`` where ``umbel.contrib.django`` is not installed.
        """
        given, named = () if args is None else args, {} if kwargs is None else kwargs
        self.check(given, named)
        return self.send_on_commit(given, named, NO_OPTIONS.with_(**options) if options else NO_OPTIONS, using)

    def send(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions) -> AsyncResult[R]:
        """As ``apply_async``, with the options as a value, and arguments that were checked."""
        publisher, resolved = self.app.publisher, self.resolved(options)
        if self.pydantic:
            args, kwargs = self.plain(args, kwargs)
        route, message = publisher.prepare(self.name, args, kwargs, resolved)
        if publisher.eager:
            return run_here(self, message, sent=True)
        if options is NO_OPTIONS:
            publisher.send(route, message)
        else:
            publisher.send(route, message, **options.offering)
        return AsyncResult(message.id, self.app, ignored=message.ignore_result)

    def send_on_commit(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions, using: str | None = None
    ) -> AsyncResult[R]:
        """As ``apply_async_on_commit``, with the options as a value, and arguments that were checked."""
        if current.after_commit is None:
            raise ConfigurationError(
                "what is sent on commit is sent by Django: put 'umbel.contrib.django' into the site's INSTALLED_APPS"
            )
        publisher, resolved = self.app.publisher, self.resolved(options)
        if self.pydantic:
            args, kwargs = self.plain(args, kwargs)
        route, message = publisher.prepare(self.name, args, kwargs, resolved)
        if publisher.eager:
            current.after_commit(lambda: run_here(self, message, sent=True), using)
        else:
            current.after_commit(publisher.written(route, message, **options.offering), using)
        return AsyncResult(message.id, self.app, ignored=message.ignore_result)

    async def asend(self, args: Sequence[Any], kwargs: Mapping[str, Any], options: CallOptions) -> AsyncResult[R]:
        """As ``send``, from a coroutine: here, or in a thread of umbel's own where more than waiting may block."""
        publisher = self.app.publisher
        if not publisher.apart:
            return await _aside(lambda: self.send(args, kwargs, options))
        if self.pydantic:
            args, kwargs = self.plain(args, kwargs)
        route, message = publisher.prepare(self.name, args, kwargs, self.resolved(options))
        await publisher.asend(route, message, **options.offering)
        return AsyncResult(message.id, self.app, ignored=message.ignore_result)

    def send_many(self, arguments: Iterable[Sequence[Any]], options: CallOptions) -> list[AsyncResult[R]]:
        """As ``delay_many``, with the options as a value."""
        if options.task_id is not None:
            raise ConfigurationError("task_id names one call; leave it out when many are sent at once")
        publisher = self.app.publisher
        resolved = self.resolved(options)
        calls = list(arguments)
        check = self._checker
        for args in calls:
            if not isinstance(args, list | tuple):
                raise TypeError(f"delay_many takes a tuple of arguments for each call, not {args!r}")
            if check is not None:
                check(*args)
        if self.pydantic:
            calls = [self.plain(args, {})[0] for args in calls]
        prepared = publisher.prepare_many(self.name, calls, resolved)
        if publisher.eager:
            return [run_here(self, message, sent=True) for _, message in prepared]
        publisher.send_many(prepared, **options.offering)
        return [AsyncResult(message.id, self.app, ignored=message.ignore_result) for _, message in prepared]

    def resolved(self, options: CallOptions) -> CallOptions:
        """``options`` with the task's own in the places that they leave open."""
        defaults = self._defaults
        if defaults is None:
            self.annotate()
            defaults = self._defaults = CallOptions(**{name: getattr(self, name) for name in self.SENT})
        if options is NO_OPTIONS:
            return defaults
        return options.filled(defaults.given)

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        throw: bool | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run the task here and now, as a worker would; ``throw`` raises its exception.

        Without ``throw``, ``task_eager_propagates`` counts. Arguments and result make the round trip through their
        serializers, so that what passes here passes there. Times are not waited for, retries follow at once. Raises as
        ``apply_async``, and ``UmbelError`` for a task that retries without end.
        """
        given, named = () if args is None else args, {} if kwargs is None else kwargs
        self.check(given, named)
        resolved = self.resolved(NO_OPTIONS.with_(**options))
        _, message = self.app.publisher.prepare(self.name, *self.plain(given, named), resolved)
        return run_here(self, message, throw=throw)

    # -- inside the task ----------------------------------------------------------------------------------------

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Try this task again: ``raise self.retry(exc=error, countdown=30)``.

        The next attempt has the same id, arguments (unless ``args`` or ``kwargs`` are given), queue and priority. It
        is sent, and this attempt settled, in one step where broker and store are one server. ``throw=False`` gives
        the ``Retry`` for the caller to raise.

        Raises ``Retry``; the reason (``exc``, else the exception being handled, else ``MaxRetriesExceededError``) when
        ``max_retries`` is used up, or when the function was called directly.
        """
        reason = exc if exc is not None else sys.exc_info()[1]
        again = Retry(
            exc=reason, countdown=countdown, eta=eta, max_retries=max_retries, args=args, kwargs=kwargs, options=options
        )
        message = self.request.message
        if message is None:
            raise reason or again
        if countdown is None and eta is None:
            again.countdown = self.default_retry_delay
        over = exceeded(self, message, again)
        if over is not None:
            raise over
        if throw:
            raise again
        return again

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Mapping[str, Any] | None = None
    ) -> None:
        """Store ``state`` (any text that is not final) with ``meta`` as the result of the running task.

        ``PROGRESS`` is how far the task is: ``current``, ``total`` and ``message`` of its meta are shown as with
        ``self.progress.set``, and it is written four times a second at most, the last of it always.

        Raises ``UmbelError`` outside a task when no ``task_id`` is given, ``EncodeError`` for a meta that cannot be
        written.
        """
        own = self.request.id
        if state == PROGRESS and own is not None and task_id in (None, own) and current.flusher is not None:
            sealed_for(self.app, Record(id=own, state=state, value=dict(meta or {})))
            progress.update(meta or {})
        else:
            report(self, task_id or own, state, meta)

    @property
    def progress(self) -> Reporter:
        """How the running task says how far it is."""
        return progress

    def track(
        self,
        iterable: Iterable[T] | AsyncIterable[T],
        total: float | None = None,
        unit: str | None = None,
        message: str | None = None,
    ) -> Track[T]:
        """The items of ``iterable``, counted as they are done: ``self.progress.track``."""
        return progress.track(iterable, total, unit, message)


class AsyncTask(Task[P, R]):
    """How a type checker sees the task of an ``async def``: its result is what the coroutine returns.

    When the program runs it is a ``Task`` like any other.
    """

    if TYPE_CHECKING:

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:  # type: ignore[override]
            """Make the coroutine of the function, to be awaited here."""


class Call(Generic[P, R]):
    """A task with call options: immutable; ``delay`` sends it, ``options`` gives another one."""

    __slots__ = ("_options", "task")

    def __init__(self, task: Task[P, R], options: CallOptions) -> None:
        self.task = task
        self._options = options

    def __repr__(self) -> str:
        said = {name: value for name in sorted(NAMES) if (value := getattr(self._options, name)) is not None}
        return f"<{self.task.name} with {said}>"

    def options(self, **options: Any) -> Call[P, R]:
        """The same call with more options, which win."""
        return Call(self.task, self._options.with_(**options))

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send it; raises as ``Task.apply_async``."""
        self.task.check(args, kwargs)
        return self.task.send(args, kwargs, self._options)

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send it after the commit; see ``Task.apply_async_on_commit``."""
        self.task.check(args, kwargs)
        return self.task.send_on_commit(args, kwargs, self._options)

    def delay_many(self, arguments: Iterable[Sequence[Any]]) -> list[AsyncResult[R]]:
        """Send one call for each tuple of arguments; raises as ``Task.delay_many``."""
        return self.task.send_many(arguments, self._options)

    async def adelay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Send it; see ``Task.adelay``."""
        self.task.check(args, kwargs)
        return await self.task.asend(args, kwargs, self._options)

    async def adelay_many(self, arguments: Iterable[Sequence[Any]]) -> list[AsyncResult[R]]:
        """Send one call for each tuple of arguments; see ``Task.adelay_many``."""
        calls = list(arguments)
        return await _aside(lambda: self.delay_many(calls))


async def _aside(work: Callable[[], T]) -> T:
    from umbel import bridge  # brings asyncio, which is loaded where a coroutine runs

    return await bridge.aside(work)


def _find(name: str) -> Task[..., Any]:
    return cast("Task[..., Any]", current.app().tasks[name])


def from_function(
    app: App,
    function: Callable[..., Any],
    *,
    name: str,
    bind: bool,
    base: type[Task[..., Any]],
    options: dict[str, Any],
) -> Task[..., Any]:
    """A task of ``function``: an instance of a class of its own below ``base``, not yet registered."""
    body: Any = function if bind else staticmethod(function)
    members = {"name": name, "run": body, "__wrapped__": staticmethod(function), **options}
    task: Task[..., Any] = type(function.__name__, (base,), members)()
    functools.update_wrapper(task, function, updated=())
    return task
