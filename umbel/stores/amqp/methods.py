"""Makes pamqp's methods with names that its pattern refuses and RabbitMQ takes."""

from __future__ import annotations

import functools
from typing import Any, TypeVar

T = TypeVar("T")


def method(kind: type[T], **fields: Any) -> T:
    """A ``kind`` with these fields and the defaults of the rest; names may hold any character."""
    which: Any = kind
    made: T = _tolerant(which)()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@functools.cache
def _tolerant(kind: Any) -> Any:
    """The same method, which leaves it to the server to refuse a name."""
    slots = {"__slots__": kind.__slots__, "validate": lambda self: None}
    return type(kind.__name__, (kind,), slots)
