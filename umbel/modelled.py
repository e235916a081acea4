"""Lets a task take and return pydantic models: data on the way, checked at both ends."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from umbel import current
from umbel.errors import ConfigurationError, InvalidModel, MissingExtra

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

PARTIAL = frozenset(
    {"include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none", "exclude_computed_fields"}
)
"""Ways to dump that may leave out what the model cannot do without."""


class Modelled(Protocol):
    """A task, as its models see it."""

    name: str
    pydantic: bool
    pydantic_strict: bool
    pydantic_context: Mapping[str, Any] | None
    pydantic_dump_kwargs: Mapping[str, Any] | None
    app: Any


class _Signature(NamedTuple):
    """What the arguments of a call are called: by place, beyond those, and by a name that is no parameter's."""

    places: Sequence[str]
    rest: str
    names: frozenset[str]
    others: str


class Models:
    """The parts of a task's signature that speak of models: a model itself, ``list[Model]``, ``Model | None`` …

    Whatever else the signature says is not looked at. Annotations are read at the first use, so that they may name what
    is defined below the task. Raises ``MissingExtra`` without pydantic.
    """

    def __init__(self, task: Modelled, body: Callable[..., Any]) -> None:
        try:
            import pydantic
            import pydantic_core
        except ModuleNotFoundError as error:
            raise MissingExtra(f"the task {task.name} with pydantic=True", "pydantic") from error
        self._pydantic = pydantic
        self._core = pydantic_core
        self._task = task
        self._body = body

    def body(self) -> Callable[..., Any]:
        """The task's body for a worker: it gets models, and returns data. A direct call stays what it was."""
        task, body = self._task, self._body

        @functools.wraps(body)
        def run(*args: Any, **kwargs: Any) -> Any:
            if not task.pydantic or current.request.get() is None:
                return body(*args, **kwargs)
            args, kwargs = self._each(args, kwargs, self._validated)
            return self._told(body(*args, **kwargs))

        @functools.wraps(body)
        async def arun(*args: Any, **kwargs: Any) -> Any:
            if not task.pydantic or current.request.get() is None:
                return await body(*args, **kwargs)
            args, kwargs = self._each(args, kwargs, self._validated)
            return self._told(await body(*args, **kwargs))

        return arun if inspect.iscoroutinefunction(inspect.unwrap(body)) else run

    def dumped(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments of a call as data that the worker will take; they may be models, or data already.

        Raises ``InvalidModel`` for one that it would not take.
        """
        return self._each(args, kwargs, self._dumped)

    def revived(self, value: Any) -> Any:
        """What the task returned, made of the data that was kept of it.

        Where ``pydantic_dump_kwargs`` leave something out it stays data. Raises ``InvalidModel`` when it is not what
        the annotation says here: the worker's program may be another version.
        """
        adapter = self._adapters.get("return")
        if adapter is None or value is None or PARTIAL & (self._task.pydantic_dump_kwargs or {}).keys():
            return value
        return self._validated("its result", adapter, value)

    def _told(self, value: Any) -> Any:
        """The return value as data; one that is not as annotated is left as it is."""
        adapter = self._adapters.get("return")
        if adapter is None:
            return value
        try:
            value = adapter.validate_python(value, context=self._context)
        except self._pydantic.ValidationError:
            return value
        told = {"mode": "json", "serialize_as_any": True, **(self._task.pydantic_dump_kwargs or {})}
        return adapter.dump_python(value, **told)

    def _dumped(self, what: str, adapter: TypeAdapter[Any], value: Any) -> Any:
        try:
            data = self._core.to_jsonable_python(value, by_alias=True, round_trip=True)
        except self._core.PydanticSerializationError as error:
            raise InvalidModel(f"{self._task.name}: {what} cannot be written: {error}") from error
        self._validated(what, adapter, data)  # what the worker would refuse is refused here
        return data

    def _validated(self, what: str, adapter: TypeAdapter[Any], value: Any) -> Any:
        given: dict[str, Any] = {"context": self._context, "by_alias": True, "by_name": True}
        try:
            if self._task.pydantic_strict:  # as strict as JSON allows: a date that became a text for the journey is one
                return adapter.validate_json(self._core.to_json(value), strict=True, **given)
            return adapter.validate_python(value, **given)
        except self._pydantic.ValidationError as error:
            raise InvalidModel(f"{self._task.name}: {what} is not what is annotated: {_reasons(error)}") from error

    def _each(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        change: Callable[[str, TypeAdapter[Any], Any], Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, with ``change`` made to those whose annotations speak of models."""
        signature, adapters = self._signature, self._adapters

        def changed(parameter: str, name: str, value: Any) -> Any:
            adapter = adapters.get(parameter)
            return value if adapter is None else change(f"the argument {name!r}", adapter, value)

        places = [*signature.places[: len(args)], *[signature.rest] * (len(args) - len(signature.places))]
        positional = tuple(changed(name, name, value) for name, value in zip(places, args, strict=True))
        named = {
            name: changed(name if name in signature.names else signature.others, name, value)
            for name, value in kwargs.items()
        }
        return positional, named

    @property
    def _context(self) -> dict[str, Any]:
        task = self._task
        return {"umbel_app": task.app, "umbel_task_name": task.name, **(task.pydantic_context or {})}

    @functools.cached_property
    def _signature(self) -> _Signature:
        parameters = inspect.signature(self._body).parameters.values()
        kinds = {each.kind: each.name for each in parameters}
        places = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        names = frozenset(
            each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        )
        kind = inspect.Parameter
        return _Signature(places, kinds.get(kind.VAR_POSITIONAL, ""), names, kinds.get(kind.VAR_KEYWORD, ""))

    @functools.cached_property
    def _adapters(self) -> Mapping[str, TypeAdapter[Any]]:
        """By the names of the parameters, and "return"."""
        try:
            hints = typing.get_type_hints(self._body, include_extras=True)
            return {name: self._pydantic.TypeAdapter(hint) for name, hint in hints.items() if self._speaks(hint)}
        except (NameError, self._pydantic.errors.PydanticUserError) as error:
            raise ConfigurationError(
                f"{self._task.name} has pydantic=True, and its annotations cannot be used: {error}; what they name "
                "must be there when the program runs, not for type checkers alone"
            ) from error

    def _speaks(self, hint: Any) -> bool:
        """Whether the annotation speaks of a model."""
        if isinstance(hint, type) and issubclass(hint, self._pydantic.BaseModel):
            return True
        return any(self._speaks(part) for part in typing.get_args(hint))


def _reasons(error: ValidationError) -> str:
    """Where and why, without the values: they may be secret."""
    reasons = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'as a whole'}: {each['msg']}" for each in reasons)
