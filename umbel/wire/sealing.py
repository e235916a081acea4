"""Encrypts the bodies of messages, and opens them again: AES-256-GCM, bound to the task's name and id.

The header is ``umbel_sealed: v1:<fingerprint of the key>:<nonce>``. The key is derived from the secret by HKDF-SHA256
(RFC 5869, without salt); the nonce is twelve random bytes, which is good for four billion messages a key.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Sequence
from typing import Any

from umbel.errors import MissingExtra, SealError
from umbel.serial.dialect import write_sorted
from umbel.wire.marks import SEAL

NONCE = 12
"""Bytes."""

_FORM = re.compile(r"v1:([0-9a-f]{8}):([0-9a-f]{24})")


class Sealing:
    """Encrypts with the first of the keys derived from ``secrets`` and opens with any.

    Raises ``MissingExtra`` when the package is missing.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        cipher = _cipher()
        self._keys: tuple[tuple[str, Any], ...] = tuple(
            (fingerprint(key), cipher(key)) for key in map(derived, secrets)
        )

    def seal(self, body: bytes, task: Any, id: Any) -> tuple[bytes, str]:
        """The encrypted body, and its header."""
        name, key = self._keys[0]
        nonce = os.urandom(NONCE)
        return key.encrypt(nonce, body, _bound_to(task, id)), f"v1:{name}:{nonce.hex()}"

    def open(self, seal: Any, body: bytes, task: Any, id: Any) -> bytes:
        """The body again. Raises ``SealError`` when no key here fits, or anything was altered."""
        parts = _FORM.fullmatch(seal) if type(seal) is str else None
        if parts is None:
            raise SealError(f"{SEAL} is no seal that this version knows")
        name, nonce = parts.groups()
        keys = [key for known, key in self._keys if known == name]
        if not keys:
            known = ", ".join(known for known, _ in self._keys)
            raise SealError(f"the body is sealed with the key {name}, which is not among those here ({known})")
        for key in keys:
            opened = _opened(key, bytes.fromhex(nonce), body, _bound_to(task, id))
            if opened is not None:
                return opened
        raise SealError("the body cannot be opened: it was altered, or belongs to another task or id")


def derived(secret: bytes) -> bytes:
    """A key of 32 bytes from a secret of any length, by HKDF-SHA256."""
    strong = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(strong, b"umbel: sealing of messages, AES-256-GCM\x01", "sha256")


def fingerprint(key: bytes) -> str:
    """Eight digits that tell one key from another, and nothing of either."""
    return hmac.digest(key, b"umbel: fingerprint of a sealing key", "sha256")[:4].hex()


def _bound_to(task: Any, id: Any) -> bytes:
    return write_sorted(["umbel v1", task, id]).encode()


def _opened(key: Any, nonce: bytes, body: bytes, bound_to: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag

    try:
        opened: bytes = key.decrypt(nonce, body, bound_to)
    except InvalidTag:
        return None
    return opened


def _cipher() -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise MissingExtra("security_encryption_keys", "crypto") from None
    return AESGCM
