"""Values as people type them on a command line, and as it shows them."""

from __future__ import annotations

import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # in older versions it takes no parameter


def lenient(text: str) -> Any:
    """A value from a text: what JSON reads, and any other text as it is."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


class JsonOf(ParamType):
    """A JSON value of one type; ``example`` completes the error."""

    def __init__(self, kind: type, name: str, example: str) -> None:
        self.name = name
        self._kind = kind
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, self._kind):
            return value
        try:
            decoded = json.loads(value, parse_constant=_refuse)
        except ValueError as error:
            self.fail(f"it is not JSON ({error}); write it so: {self._example}", param, ctx)
        if not isinstance(decoded, self._kind):
            self.fail(f"it is not a {self.name}, but {value!r}; write it so: {self._example}", param, ctx)
        return decoded


class Whole(ParamType):
    """A whole number from ``least`` to ``most``."""

    name = "number"

    def __init__(self, least: int, most: int | None = None) -> None:
        self._least = least
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if number < self._least or (self._most is not None and number > self._most):
            bounds = f"from {self._least} up" if self._most is None else f"from {self._least} to {self._most}"
            self.fail(f"{number} is not {bounds}", param, ctx)
        return number


class Seconds(ParamType):
    """A finite number of seconds."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = _number(value)
        if number is None:
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return number


class Moment(ParamType):
    """A moment in ISO 8601. One without an offset is in the app's time zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time; write it so: 2030-12-31T18:00:00+01:00", param, ctx)


class SecondsOrMoment(ParamType):
    """A number of seconds from now, or a moment in ISO 8601."""

    name = "seconds|time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | datetime:
        number = _number(value)
        return number if number is not None else Moment().convert(value, param, ctx)


def shown(value: Any) -> str:
    """A value for people and pipes: a text as it is, an exception by type and message, all else as JSON or its repr."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}" if str(value) else type(value).__name__
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):
        return repr(value)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
