"""How a type checker sees the decorators that make tasks of functions."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from umbel.task import AsyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")


class Declare(Protocol):
    """What ``@app.task(…)`` gives: takes the function. The result of an ``async def`` is what it returns in the end."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class DeclareBound(Protocol):
    """What ``@app.task(bind=True, …)`` gives: callers do not pass the function's first argument, which is the task."""

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Task[P, R]: ...
