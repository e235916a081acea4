"""The options of one call: what may be said of it beside its arguments."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from umbel.errors import ConfigurationError, UnknownOption
from umbel.retry import NEVER_AGAIN, PublishRetry


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What a caller may say of one call; None means "as the task or the settings have it".

    ``countdown`` is seconds from now, ``eta`` a datetime, ``expires`` seconds from now or a datetime. ``priority`` is
    0–9, higher is sooner; the limits are in seconds. ``routing_key`` (with ``exchange`` where several share it) names a
    declared queue in place of ``queue``. ``retry`` says whether, and ``retry_policy`` how, the message is offered again
    to a broker that surely did not take it: ``umbel.retry.PublishRetry``. ``headers`` are the caller's own message
    headers, ``properties`` the broker's own ones.
    """

    task_id: str | None = None
    countdown: float | None = None
    eta: datetime | None = None
    expires: float | datetime | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    priority: int | None = None
    serializer: str | None = None
    compression: str | None = None
    ignore_result: bool | None = None
    headers: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] | None = None
    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    reply_to: str | None = None
    retry: bool | None = None
    retry_policy: Mapping[str, Any] | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    timed: bool = field(default=False, init=False)
    """Whether it says anything of times."""

    def __post_init__(self) -> None:
        timed = self.countdown is not None or self.eta is not None or self.expires is not None
        object.__setattr__(self, "timed", timed)

    def with_(self, **changes: Any) -> CallOptions:
        """These options with ``changes``.

        Raises ``UnknownOption`` for a name that is no option, ``ConfigurationError`` for a value that cannot be meant.
        """
        for name in changes:
            if name not in NAMES:
                raise UnknownOption("call option", name, NAMES)
        changed = replace(self, **changes)
        changed.check()
        return changed

    def filled(self, defaults: Mapping[str, Any]) -> CallOptions:
        """These options, with ``defaults`` in the places that they leave open; of two queues, only these options' own.

        Raises ``ConfigurationError`` when the two do not go together.
        """
        placed = self.queue is not None or self.routing_key is not None
        more = {
            name: value
            for name, value in defaults.items()
            if value is not None and getattr(self, name) is None and not (placed and name in _PLACE)
        }
        if not more:
            return self
        filled = replace(self, **more)
        filled.check()
        return filled

    @property
    def given(self) -> dict[str, Any]:
        """What is not left open, by name."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}

    @property
    def offering(self) -> dict[str, PublishRetry]:
        """What is said of offering the message again, as ``Publisher.send`` takes it; empty when nothing is."""
        if self.retry is False:
            return {"retry": NEVER_AGAIN}
        if self.retry is None and self.retry_policy is None:
            return {}
        return {"retry": PublishRetry.of(self.retry_policy or {})}

    def check(self) -> None:
        """Raise ``ConfigurationError`` for a value that cannot be meant."""
        if self.countdown is not None:
            if self.eta is not None:
                raise ConfigurationError("a call takes countdown or eta, not both")
            _check_seconds("countdown", self.countdown)
        if self.eta is not None and not isinstance(self.eta, datetime):
            raise ConfigurationError(f"eta must be a datetime, not {self.eta!r}; for seconds from now use countdown")
        if self.expires is not None and not isinstance(self.expires, datetime):
            _check_seconds("expires", self.expires)
        if self.priority is not None and (
            not isinstance(self.priority, int) or isinstance(self.priority, bool) or not 0 <= self.priority <= 9
        ):
            raise ConfigurationError(
                f"priority must be a whole number from 0 to 9 (9 is soonest), not {self.priority!r}"
            )
        for name in ("time_limit", "soft_time_limit"):
            seconds = getattr(self, name)
            if seconds is not None:
                _check_seconds(name, seconds)
                if seconds <= 0:
                    raise ConfigurationError(f"{name} must be more than 0 seconds, not {seconds!r}")
        if self.time_limit is not None and self.soft_time_limit is not None and self.soft_time_limit > self.time_limit:
            raise ConfigurationError(
                f"soft_time_limit={self.soft_time_limit} is beyond time_limit={self.time_limit}, never reached"
            )
        if self.queue is not None and self.routing_key is not None:
            raise ConfigurationError("a call names its queue or a routing_key, not both")
        if self.exchange is not None and self.routing_key is None:
            raise ConfigurationError("exchange= tells queues of one routing_key apart: give the routing_key too")
        if self.retry_policy is not None:
            PublishRetry.of(self.retry_policy)
        if self.retry not in (None, True, False):
            raise ConfigurationError(f"retry must be True or False, not {self.retry!r}")
        for name in ("task_id", "queue", "exchange", "routing_key", "serializer", "compression", "shadow"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise ConfigurationError(f"{name} must be a text that is not empty, not {value!r}")
            if value is not None and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ConfigurationError(f"{name} has half of a surrogate pair, which no store can hold: {value!r}")
        for name in ("headers", "properties"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise ConfigurationError(f"{name} must be a mapping, not {value!r}")


NAMES: frozenset[str] = frozenset(each.name for each in fields(CallOptions) if each.init)
NO_OPTIONS = CallOptions()

_PLACE = ("queue", "exchange", "routing_key")


def _check_seconds(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigurationError(f"{name} must be a finite number of seconds, not {value!r}")


def due_time(options: CallOptions, now: float, zone: tzinfo) -> datetime | None:
    """When the task may start, or None for at once; a naive ``eta`` is in ``zone``.

    Raises ``ConfigurationError`` for a countdown beyond the year 9999.
    """
    if options.eta is not None:
        return _aware("eta", options.eta, zone)
    if options.countdown is None or options.countdown <= 0:
        return None
    return _after("countdown", options.countdown, now, zone)


def expiry_time(expires: float | datetime | None, now: float, zone: tzinfo) -> datetime | None:
    """When the call expires, or None for never; a naive datetime is in ``zone``."""
    if expires is None:
        return None
    if isinstance(expires, datetime):
        return _aware("expires", expires, zone)
    return _after("expires", expires, now, zone)


def _aware(name: str, moment: datetime, zone: tzinfo) -> datetime:
    if moment.tzinfo is not None:
        return moment
    warnings.warn(
        f"{name}={moment.isoformat()} names no time zone and is taken as one of {zone} (the setting timezone): give it "
        "a tzinfo, such as datetime.UTC",
        UserWarning,
        stacklevel=2,
    )
    return moment.replace(tzinfo=zone)


def _after(name: str, seconds: float, now: float, zone: tzinfo) -> datetime:
    try:
        return (datetime.fromtimestamp(now, UTC) + timedelta(seconds=seconds)).astimezone(zone)
    except OverflowError:
        raise ConfigurationError(f"{name}={seconds!r} lies beyond the year 9999") from None
