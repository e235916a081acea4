"""What an app's keys do to messages: sealed and signed on their way out, checked and opened on their way in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from umbel.errors import SealError
from umbel.wire.envelope import Letter
from umbel.wire.marks import NO_KEY, SEAL, SIGNATURE
from umbel.wire.sealing import Sealing
from umbel.wire.signing import Signing


class Protection:
    """At least one of ``signing`` and ``sealing`` is not None; ``now()`` is the unix time in seconds."""

    def __init__(self, signing: Signing | None, sealing: Sealing | None, now: Callable[[], float]) -> None:
        self._signing = signing
        self._sealing = sealing
        self._now = now

    @property
    def seals(self) -> bool:
        """Whether bodies are encrypted, so that nothing else may show what is in them."""
        return self._sealing is not None

    def close(self, letter: Letter) -> tuple[bytes, dict[str, str]]:
        """The body to send in place of the letter's, and the headers to add behind its own, in that order.

        The letter's headers must be as the receiver will see them.
        """
        added = {}
        body, headers = letter.body, letter.headers
        if self._sealing is not None:
            body, added[SEAL] = self._sealing.seal(body, headers.get("task"), headers.get("id"))
            letter = letter._replace(body=body, headers={**headers, **added})
        return body, added | self.sign(letter)

    def sign(self, letter: Letter) -> dict[str, str]:
        """The header that signs the letter as it is; none where no signing keys are."""
        return {} if self._signing is None else {SIGNATURE: self._signing.sign(letter, self._now())}

    def check(self, letter: Letter, *, fresh: bool = True) -> None:
        """Raise ``SignatureError`` unless the letter is signed as it must be; ``fresh=False`` accepts any age."""
        if self._signing is not None:
            self._signing.check(letter, self._now(), fresh=fresh)

    def open(self, letter: Letter, *, fresh: bool = True) -> bytes:
        """The body as it was before ``close``. Nothing of it is looked at before the signature has been.

        Raises as ``check``, and ``SealError``.
        """
        self.check(letter, fresh=fresh)
        headers = letter.headers
        seal = headers.get(SEAL)
        if seal is None:
            return letter.body
        if self._sealing is None:
            raise SealError(NO_KEY)
        return self._sealing.open(seal, letter.body, headers.get("task"), headers.get("id"))


def protection_with(
    signing_keys: Sequence[bytes], max_age: float, sealing_keys: Sequence[bytes], now: Callable[[], float]
) -> Protection:
    """The protection that these keys give; ``max_age`` is in seconds. Raises ``MissingExtra``."""
    return Protection(
        Signing(signing_keys, max_age) if signing_keys else None, Sealing(sealing_keys) if sealing_keys else None, now
    )
