"""Exceptions as they are stored in results, and what they are read back as."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from umbel import errors, serial
from umbel.errors import EncodeError, SecurityError
from umbel.wire.names import EXCEPTION_MODULES
from umbel.wire.reprs import safe_repr

_OWN_MODULE = errors.__name__
_OWN_CLASSES: dict[tuple[str, str], type[BaseException]] = {
    (module, name): getattr(errors, name) for name, module in EXCEPTION_MODULES.items()
}
"""What stands on the wire → the class of umbel that it is here."""


def to_wire(error: BaseException, serializer: str = "json") -> dict[str, Any]:
    """The exception's class, module and arguments as values that ``serializer`` can write.

    An argument that it cannot write becomes its representation. Never raises, whatever the exception's own code does.
    """
    kind = type(error)
    name, module = kind.__qualname__, kind.__module__
    if module == _OWN_MODULE:
        module = EXCEPTION_MODULES.get(name, module)
    return {
        "exc_type": name,
        "exc_message": [_writable(argument, serializer) for argument in _arguments(error)],
        "exc_module": module if type(module) is str else None,
    }


def from_wire(stored: Any) -> BaseException:
    """The exception that ``to_wire`` or Celery stored; never raises.

    Its class is looked up in modules that are already imported, nowhere else. Where it is not found, a class of that
    name stands in for it. What is found and is no exception class gives a ``SecurityError``; what its arguments do not
    fit, an ``Exception`` with the text.
    """
    if isinstance(stored, BaseException):
        return stored
    if not isinstance(stored, Mapping) or not isinstance(stored.get("exc_type"), str):
        return Exception(stored if isinstance(stored, str) else safe_repr(stored))
    name, module, message = stored["exc_type"], stored.get("exc_module"), stored.get("exc_message")
    if isinstance(message, (list, tuple)):
        arguments = tuple(message)
    else:
        arguments = () if message is None else (message,)
    found = _look_up(module, name) if isinstance(module, str) else None
    if found is None:
        found = _stand_in(name, module)
    elif not (isinstance(found, type) and issubclass(found, BaseException)):
        return SecurityError(f"the stored exception names {module}.{name}, which is no exception class")
    try:
        error = found(*arguments)
    except Exception:  # noqa: BLE001 - a constructor of the user's; what it was to say is in the text
        error = None
    if isinstance(error, BaseException):
        return error
    return Exception(f"{name}({', '.join(map(safe_repr, arguments))})")


def _arguments(error: BaseException) -> tuple[Any, ...]:
    try:
        arguments = error.args
        if type(arguments) is tuple:
            return arguments
    except (Exception, SystemExit):  # noqa: BLE001 - a property of the user's in the place of args
        arguments = None
    # What every exception has, even one that hides it.
    hidden: tuple[Any, ...] = BaseException.args.__get__(error)  # type: ignore[attr-defined]
    return hidden


def _writable(argument: Any, serializer: str) -> Any:
    if serializer == "json" and type(argument) is str:
        return argument
    try:
        serial.dumps(argument, serializer)
    except EncodeError:
        return safe_repr(argument)
    return argument


def _look_up(module: str, name: str) -> Any:
    own = _OWN_CLASSES.get((module, name))
    if own is not None:
        return own
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        # Not getattr: a module's or a class's own code could import, or do, anything.
        found = getattr(found, "__dict__", {}).get(part)
        if found is None:
            return None
    return found


def _stand_in(name: str, module: Any) -> type[BaseException]:
    try:
        return type(name.rpartition(".")[2], (Exception,), {"__module__": module, "__qualname__": name})
    except (ValueError, TypeError):  # a name that no class can have
        return Exception
