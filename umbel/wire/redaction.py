"""Hides named arguments of a call wherever it is shown; in the call itself they stay as they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from umbel.model import Message
from umbel.wire.reprs import safe_repr

REDACTED = "***"


class Parameters(NamedTuple):
    """What a function calls its arguments: ``positional`` in order, ``rest`` those of ``*rest``, ``extra`` those of
    ``**extra``, which are all keywords that are not among ``named``."""

    positional: tuple[str, ...] = ()
    rest: str | None = None
    extra: str | None = None
    named: frozenset[str] = frozenset()


UNKNOWN = Parameters()
"""Of a function that is not here: only keywords are known by name."""


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """The parameters of a function; ``UNKNOWN`` where its signature cannot be had."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return UNKNOWN
    names: dict[Any, list[str]] = {}
    for parameter in parameters:
        names.setdefault(parameter.kind, []).append(parameter.name)
    both = names.get(inspect.Parameter.POSITIONAL_OR_KEYWORD, [])
    (rest,) = names.get(inspect.Parameter.VAR_POSITIONAL, [None])
    (extra,) = names.get(inspect.Parameter.VAR_KEYWORD, [None])
    return Parameters(
        (*names.get(inspect.Parameter.POSITIONAL_ONLY, []), *both),
        rest,
        extra,
        frozenset(both) | frozenset(names.get(inspect.Parameter.KEYWORD_ONLY, [])),
    )


class Redaction:
    """Hides the arguments of these names. What they contain, under whatever name, goes with them; what other arguments
    contain stays, even under one of these names."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def args(self, args: Sequence[Any], parameters: Parameters) -> Sequence[Any]:
        """The positional arguments as they may be shown."""
        known = parameters.positional
        rest = parameters.rest in self._names
        if not rest and self._names.isdisjoint(known):
            return args
        shown = [REDACTED if name in self._names else value for name, value in zip(known, args, strict=False)]
        beyond = args[len(known) :]
        return _type_of(args)([*shown, *([REDACTED] * len(beyond) if rest else beyond)])

    def kwargs(self, kwargs: Mapping[str, Any], parameters: Parameters) -> Mapping[str, Any]:
        """The keyword arguments as they may be shown."""
        extra = parameters.extra in self._names
        return {
            name: REDACTED if name in self._names or (extra and name not in parameters.named) else value
            for name, value in kwargs.items()
        }

    def of(self, message: Message, parameters: Parameters) -> Message:
        """The message with representations that may be shown; one that it already has stays."""
        args, kwargs = message.argsrepr, message.kwargsrepr
        if args is None:
            args = safe_repr(self.args(message.args, parameters))
        if kwargs is None:
            kwargs = safe_repr(self.kwargs(message.kwargs, parameters))
        return replace(message, argsrepr=args, kwargsrepr=kwargs)


def _type_of(args: Sequence[Any]) -> type[list[Any]] | type[tuple[Any, ...]]:
    """What arguments are shown as: a list as one, any other sequence as a tuple."""
    return list if isinstance(args, list) else tuple
