"""umbel's own headers, whose names begin with ``umbel_``: what they may hold, and whom they belong to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from umbel.errors import DecodeError, EncodeError
from umbel.wire.reprs import safe_repr

PREFIX = "umbel_"
"""No user's header begins so."""

LIFE = "umbel_life"
"""Which life of the task this is: how often it was deliberately started anew after its end."""

STARTS = "umbel_starts"
"""How many starts of this message ended without a verdict."""

RESENT = "umbel_resent"
"""Whether the message was sent before, under the same id."""

UNKNOWN_SINCE = "umbel_unknown_since"
"""The unix time, in seconds, since which no worker was found that knows the task."""

SIGNATURE = "umbel_signature"
"""Who signed these bytes, and when; see ``wire.signing``."""

SEAL = "umbel_sealed"
"""How the body is encrypted; see ``wire.sealing``."""

NO_KEY = "the body is sealed, and no key is here to open it (security_encryption_keys)"
"""What there is to say of a seal where no keys are."""

OF_THE_BYTES = frozenset({SIGNATURE, SEAL})
"""They are true of one envelope alone, so they are no marks of the message in it."""


class _Kind(NamedTuple):
    holds: Callable[[Any], bool]
    wanted: str


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value < 1e12


_COUNT = _Kind(_is_count, "a whole number from 0")
_KINDS = {
    LIFE: _COUNT,
    STARTS: _COUNT,
    RESENT: _Kind(lambda value: type(value) is bool, "true or false"),
    UNKNOWN_SINCE: _Kind(_is_time, "a unix time in seconds"),
}


def read(name: str, value: Any) -> Any:
    """The value of a mark that arrived; any value for one that only newer versions know. Raises ``DecodeError``."""
    kind = _KINDS.get(name)
    if kind is not None and not kind.holds(value):
        raise DecodeError(name, f"is {safe_repr(value, 80)} and must be {kind.wanted}")
    return value


def written(marks: Mapping[str, Any]) -> Mapping[str, Any]:
    """``marks``, all of which can be sent; raises ``EncodeError`` that names one which cannot."""
    for name, value in marks.items():
        if not name.startswith(PREFIX) or name in OF_THE_BYTES:
            raise EncodeError(f"marks[{name!r}]: this is no mark that a message carries")
        kind = _KINDS.get(name)
        if kind is not None and not kind.holds(value):
            raise EncodeError(f"marks[{name!r}]: is {safe_repr(value, 80)} and must be {kind.wanted}")
    return marks
