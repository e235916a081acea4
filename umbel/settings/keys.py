"""The kinds of setting that hold secret keys."""

from __future__ import annotations

from typing import Any

from umbel.errors import MissingExtra
from umbel.settings.kinds import Kind, Unfit

LEAST = 16
"""Bytes that a key has at least; ``python -c "import secrets; print(secrets.token_urlsafe(32))"`` makes a good one."""


def _check_keys(value: Any) -> tuple[bytes, ...]:
    if isinstance(value, (str, bytes)):
        raise Unfit("one key is a list of one")
    if not isinstance(value, (list, tuple)):
        raise Unfit
    keys = []
    for number, key in enumerate(value, start=1):
        if not isinstance(key, (str, bytes)):
            raise Unfit(f"key {number} is a {type(key).__name__}")
        data = key.encode() if isinstance(key, str) else key
        if len(data) < LEAST:
            raise Unfit(f"key {number} has {len(data)} bytes")
        keys.append(data)
    return tuple(keys)


def _read_keys(text: str) -> list[str]:
    keys = [key.strip() for key in text.split(",")]
    if not all(keys):
        raise Unfit("one of them is empty")
    return keys


def _check_encryption_keys(value: Any) -> tuple[bytes, ...]:
    import importlib.util

    keys = _check_keys(value)
    if keys and importlib.util.find_spec("cryptography") is None:
        raise MissingExtra("security_encryption_keys", "crypto")
    return keys


_EXPECTS = f"a list of secrets of at least {LEAST} bytes each (separated by commas where it is given as text)"

SIGNING_KEYS = Kind(_EXPECTS, _check_keys, _read_keys, private=True)
ENCRYPTION_KEYS = Kind(_EXPECTS, _check_encryption_keys, _read_keys, private=True)
"""Also raises ``MissingExtra``, at once and not when the first message is to be sent, where the package is missing."""
