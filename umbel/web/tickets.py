"""Tickets: who holds one may see how a task stands, and what else it says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Collection, Sequence
from typing import NamedTuple

from umbel.clock import SystemClock
from umbel.errors import ConfigurationError
from umbel.web.exchange import Refused

PREFIX = "tk_"
ABILITIES = frozenset({"cancel"})
SHORTEST = 16
"""Characters of a secret at least."""

LONGEST = 2000
"""Characters of a ticket at most."""

TTL = 86400.0
"""Seconds for which a ticket is good unless it is said otherwise."""

_PURPOSE = b"umbel progress ticket 1"


class Ticket(NamedTuple):
    """Whose holder may follow the task ``id`` until the unix time ``expires``, as ``user`` if that is not None."""

    id: str
    expires: float
    can: tuple[str, ...] = ()
    user: str | None = None


class Tickets:
    """Writes and reads tickets. The first secret signs, all of them are accepted, so that one can follow another."""

    def __init__(self, secret: str | bytes | Sequence[str | bytes]) -> None:
        given = [secret] if isinstance(secret, str | bytes) else list(secret)
        keys = [each.encode() if isinstance(each, str) else each for each in given]
        if not keys or any(len(key) < SHORTEST for key in keys):
            raise ConfigurationError(
                f"tickets need a secret of {SHORTEST} characters or more, for example {secrets.token_urlsafe(24)!r}; "
                "keep it where the program's other secrets are"
            )
        self._keys = [hmac.new(key, _PURPOSE, hashlib.sha256).digest() for key in keys]

    def write(self, ticket: Ticket) -> str:
        """The ticket as a text for addresses and pages. Raises ``ConfigurationError`` for an unknown ability."""
        if unknown := set(ticket.can) - ABILITIES:
            raise ConfigurationError(f"a ticket can say {', '.join(sorted(ABILITIES))}, not {sorted(unknown)[0]!r}")
        facts = [ticket.id, round(ticket.expires), sorted(ticket.can), ticket.user]
        body = _text(json.dumps(facts, separators=(",", ":")).encode())
        return f"{PREFIX}{body}.{_text(self._seal(self._keys[0], body))}"

    def read(self, text: str, now: float) -> Ticket:
        """The ticket; raises ``Refused``: 403 for one that was not written here, 410 for one that has expired."""
        body, _, seal = text.removeprefix(PREFIX).partition(".")
        try:
            given = _bytes(seal) if len(text) <= LONGEST else b""
            if not any(hmac.compare_digest(given, self._seal(key, body)) for key in self._keys):
                raise Refused(403, "this ticket is not one of ours")
            id, expires, can, user = json.loads(_bytes(body))
        except (ValueError, binascii.Error):
            raise Refused(403, "this ticket is not one of ours") from None
        if expires <= now:
            raise Refused(410, "this ticket has expired: load the page again")
        return Ticket(id, expires, tuple(can), user)

    def _seal(self, key: bytes, body: str) -> bytes:
        return hmac.new(key, body.encode("ascii", "replace"), hashlib.sha256).digest()[:20]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def progress_ticket(
    task_id: str,
    *,
    secret: str | bytes | Sequence[str | bytes],
    can: Collection[str] = (),
    ttl: float = TTL,
    user: object = None,
) -> str:
    """A ticket for the task, good for ``ttl`` seconds, where no face of a framework is at hand.

    ``can`` may hold "cancel". With ``user`` it is good for that user alone. Raises ``ConfigurationError``.
    """
    owner = None if user is None else str(user)
    return Tickets(secret).write(Ticket(str(task_id), SystemClock().now() + ttl, tuple(can), owner))
