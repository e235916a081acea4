"""How long to wait before a task is tried again, and how often."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import count
from typing import Any, Protocol

from umbel.errors import ConfigurationError, UnknownOption

Chance = Callable[[float, float], float]
"""``random.uniform``, or what a test puts in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Try again after ``first`` seconds, then ``factor`` times longer each time, ``most`` seconds at most.

    ``jitter`` picks a time between nothing and that, so that what failed together does not come back together.
    ``times`` is how often at most, None for ever. ``on`` are the exceptions that it is for, ``unless`` those among
    them that it is not for.

    Raises ``ConfigurationError`` for a value that cannot be meant.
    """

    first: float = 1.0
    factor: float = 2.0
    most: float = 600.0
    jitter: bool = True
    times: int | None = 3
    on: tuple[type[BaseException], ...] = ()
    unless: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        for name in ("first", "factor", "most"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not (math.isfinite(value) and value >= 0)
            ):
                raise ConfigurationError(f"Backoff: {name} must be a finite number that is not negative, not {value!r}")
        if self.times is not None and (
            isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 0
        ):
            raise ConfigurationError(f"Backoff: times must be a whole number or None, not {self.times!r}")
        for name in ("on", "unless"):
            classes = getattr(self, name)
            if not isinstance(classes, tuple) or not all(
                isinstance(each, type) and issubclass(each, BaseException) for each in classes
            ):
                raise ConfigurationError(f"Backoff: {name} must be a tuple of exception classes, not {classes!r}")

    def covers(self, error: BaseException) -> bool:
        """Whether ``error`` is one that it is for."""
        return isinstance(error, self.on) and not isinstance(error, self.unless)

    def delay(self, retries: int, chance: Chance = random.uniform) -> float:
        """Seconds to wait before the next attempt, after ``retries`` earlier ones."""
        try:
            longest = min(self.most, self.first * self.factor**retries)
        except OverflowError:
            longest = self.most
        return chance(0.0, longest) if self.jitter else longest


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRetry:
    """When a message that the broker surely did not take is offered again: after ``interval_start`` seconds, then
    ``interval_step`` longer each time, ``interval_max`` at most; ``max_retries`` times, None for as long as
    ``broker_publish_timeout`` allows.

    Raises ``ConfigurationError`` for a value that cannot be meant.
    """

    max_retries: int | None = 3
    interval_start: float = 0.0
    interval_step: float = 0.2
    interval_max: float = 1.0

    def __post_init__(self) -> None:
        most = self.max_retries
        if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 0):
            raise ConfigurationError(f"retry_policy: max_retries must be a whole number or None, not {most!r}")
        for name in ("interval_start", "interval_step", "interval_max"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ConfigurationError(f"retry_policy: {name} must be a number of seconds from 0, not {value!r}")

    @classmethod
    def of(cls, policy: Mapping[str, Any]) -> PublishRetry:
        """From a mapping; what is left out has its default. Raises ``UnknownOption`` for a name."""
        if not isinstance(policy, Mapping):
            raise ConfigurationError(f"retry_policy: expected a mapping such as {{'max_retries': 5}}, got {policy!r}")
        known = [each.name for each in fields(cls)]
        for name in policy:
            if name not in known:
                raise UnknownOption("retry_policy", str(name), known)
        return cls(**policy)

    def pauses(self) -> Iterator[float]:
        """Seconds to wait before each further offer."""
        for retry in count() if self.max_retries is None else range(self.max_retries):
            yield min(self.interval_max, self.interval_start + retry * self.interval_step)


NEVER_AGAIN = PublishRetry(max_retries=0)


class Classic(Protocol):
    """The attributes of a task in which its retries can be written one by one."""

    max_retries: int | None
    default_retry_delay: float
    autoretry_for: tuple[type[BaseException], ...]
    dont_autoretry_for: tuple[type[BaseException], ...]
    retry_kwargs: Mapping[str, Any]
    retry_backoff: bool | float
    retry_backoff_max: float
    retry_jitter: bool


def classic(task: Classic) -> Backoff | None:
    """The policy that those attributes mean; None where nothing is tried again by itself.

    ``retry_backoff`` is the first delay, True for one second; without it the delay is always the same:
    ``retry_kwargs["countdown"]``, else ``default_retry_delay``. Raises ``ConfigurationError`` as ``Backoff`` does.
    """
    if not task.autoretry_for:
        return None
    steady = task.retry_kwargs.get("countdown", task.default_retry_delay)
    backoff = task.retry_backoff
    return Backoff(
        first=float(backoff) if backoff else steady,
        factor=2.0 if backoff else 1.0,
        most=task.retry_backoff_max if backoff else steady,
        jitter=bool(backoff) and task.retry_jitter,
        times=task.retry_kwargs.get("max_retries", task.max_retries),
        on=tuple(task.autoretry_for),
        unless=tuple(task.dont_autoretry_for),
    )
