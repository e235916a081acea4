"""Checks a call's arguments against a function's signature without calling it."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable
from typing import Any

Checker = Callable[..., None]


def checker_for(function: Callable[..., Any], name: str, *, skip_first: bool) -> Checker | None:
    """A function of the same parameters that does nothing; None where the signature is not known.

    Calling it raises the ``TypeError`` that the call would. It is compiled once, because the interpreter binds
    arguments some twenty times faster than ``inspect.Signature.bind``.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    if skip_first and parameters:
        parameters = parameters[1:]
    shown = name.rpartition(".")[2]
    if not shown.isidentifier() or keyword.iskeyword(shown):
        shown = "task"
    text = f"def {shown}({', '.join(_spell(parameters))}): pass"
    namespace: dict[str, Any] = {}
    exec(compile(text, f"<signature of {name}>", "exec"), namespace)  # the names come from a compiled function
    check: Checker = namespace[shown]
    return check


def _spell(parameters: list[inspect.Parameter]) -> list[str]:
    spelled: list[str] = []
    positional_only = False
    starred = False
    for parameter in parameters:
        if positional_only and parameter.kind is not parameter.POSITIONAL_ONLY:
            spelled.append("/")
            positional_only = False
        text = parameter.name
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional_only = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            text, starred = f"*{text}", True
        elif parameter.kind is parameter.VAR_KEYWORD:
            text = f"**{text}"
        elif parameter.kind is parameter.KEYWORD_ONLY and not starred:
            spelled.append("*")
            starred = True
        if parameter.default is not parameter.empty:
            text += "=None"
        spelled.append(text)
    if positional_only:
        spelled.append("/")
    return spelled
