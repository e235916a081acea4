"""Signs messages and checks signatures: HMAC-SHA256 over the body and everything in the head that says what to do.

The header is ``umbel_signature: v1:<fingerprint of the key>:<unix time of signing>:<mac>``. The mac is over the length
of a text, the text, and the body as it travels (compressed and sealed, if it is). The text is a JSON list with sorted
keys, without spaces and in ASCII: time, content type, content encoding, correlation_id, reply_to, and all headers but
the signature and those that a broker or an adapter adds on the way. So it is the same for every layout that brings
headers back as they were.

Not signed is what belongs to the delivery: queue, priority, expiration, properties of the broker.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from umbel.errors import DecodeError, EncodeError, SignatureError
from umbel.serial.dialect import write_sorted
from umbel.wire.envelope import Letter
from umbel.wire.fields import moment
from umbel.wire.marks import RESENT, SIGNATURE, STARTS
from umbel.wire.names import FOREIGN_HEADERS

FUTURE = 300
"""Seconds by which the clocks of two machines may differ."""

_FORM = re.compile(r"v1:([0-9a-f]{8}):([0-9]{1,12}):([0-9a-f]{64})")
_LEFT_OUT = FOREIGN_HEADERS | {SIGNATURE, RESENT, STARTS}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Signing:
    """Signs with the first of ``keys`` and accepts any of them; ``max_age`` is in seconds."""

    def __init__(self, keys: Sequence[bytes], max_age: float) -> None:
        self._keys = tuple((fingerprint(key), hmac.new(key, digestmod="sha256")) for key in keys)
        self._max_age = max_age

    def sign(self, letter: Letter, now: float) -> str:
        """The signature of ``letter`` at the unix time ``now``."""
        name, key = self._keys[0]
        when = str(int(now))
        return f"v1:{name}:{when}:{_mac(key, letter, when)}"

    def check(self, letter: Letter, now: float, *, fresh: bool = True) -> None:
        """Raise ``SignatureError`` unless the signature is there, fits, and is not too old at the unix time ``now``.

        ``fresh=False`` accepts one of any age. Whoever can read a message can send it again, whole, within its age.
        """
        text = letter.headers.get(SIGNATURE)
        if text is None:
            raise SignatureError("the message is not signed, and only signed ones are taken (security_signing_keys)")
        parts = _FORM.fullmatch(text) if type(text) is str else None
        if parts is None:
            raise SignatureError(f"{SIGNATURE} is no signature that this version knows")
        name, when, mac = parts.groups()
        keys = [key for known, key in self._keys if known == name]
        if not keys:
            known = ", ".join(known for known, _ in self._keys)
            raise SignatureError(f"the message is signed with the key {name}, which is not among those here ({known})")
        try:
            fits = any(hmac.compare_digest(_mac(key, letter, when), mac) for key in keys)
        except EncodeError as error:
            raise DecodeError("headers", "nested too deeply") from error
        if not fits:
            raise SignatureError("the signature does not fit: the message was altered after it was signed")
        if fresh:
            self._check_age(letter, int(when), now)

    def _check_age(self, letter: Letter, signed: int, now: float) -> None:
        if signed - now > FUTURE:
            raise SignatureError(f"the message was signed {signed - now:.0f} s in the future: compare the clocks")
        eta = letter.headers.get("eta")
        due = signed if eta is None else max(signed, (moment("eta", eta) - _EPOCH).total_seconds())
        if now - due > self._max_age:
            raise SignatureError(
                f"the message is {now - due:.0f} s old, and those older than {self._max_age:.0f} s are not taken "
                "(security_signing_max_age)"
            )


def fingerprint(key: bytes) -> str:
    """Eight digits that tell one key from another, and nothing of either."""
    return hmac.digest(key, b"umbel: fingerprint of a signing key", "sha256")[:4].hex()


def _mac(key: hmac.HMAC, letter: Letter, when: str) -> str:
    head = write_sorted(
        [
            when,
            letter.content_type,
            letter.content_encoding,
            letter.properties.get("correlation_id"),
            letter.properties.get("reply_to") or "",
            {name: value for name, value in letter.headers.items() if name not in _LEFT_OUT},
        ]
    ).encode()
    mac = key.copy()
    mac.update(b"%d:" % len(head) + head)
    mac.update(letter.body)
    return mac.hexdigest()
