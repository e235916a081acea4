"""A request and its answer, as the faces for web frameworks hand them over."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

MOST_FIELDS = 200
"""Parameters of one request."""

ALWAYS = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))


class Unauthenticated(Exception):
    """Raised by an ``authorize`` of the host's: nobody is logged in. The answer is 401, for others' tasks it is 403."""


class Refused(Exception):
    """The answer is an error: ``status`` and a text for whoever asked."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request. ``path`` is below the prefix, ``base`` the prefix itself, with a slash at both ends; names of headers
    are in lower case. ``native`` is the framework's own request; ``streams`` says whether the server can hold an answer
    open without a thread for each.
    """

    method: str
    path: str
    base: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    native: Any = None
    streams: bool = True

    def parameters(self, name: str) -> list[str]:
        """The values of a parameter of the address. Raises ``Refused``."""
        return _parsed(self.query).get(name, [])

    def form(self) -> dict[str, str]:
        """The fields of a form, each once. Raises ``Refused``."""
        fields = _parsed(self.body.decode("utf-8", "replace"))
        return {name: values[-1] for name, values in fields.items()}

    @property
    def is_form(self) -> bool:
        """Whether a plain form of a page was sent."""
        return self.headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded"

    @property
    def same_origin(self) -> bool | None:
        """Whether it comes from a page of this very server; None where no browser has said."""
        site = self.headers.get("sec-fetch-site")
        if site is not None:
            return site in ("same-origin", "none")
        origin = self.headers.get("origin")
        if origin is None:
            return None
        return origin.partition("://")[2] == self.headers.get("host")


def _parsed(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Refused(400, f"the parameters cannot be read: {error}") from None


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` is bytes, or what they come from one after the other while the answer is open."""

    status: int
    body: bytes | AsyncIterator[bytes] = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        """Those of this answer, and those that every answer has."""
        return [*self.headers, *ALWAYS]


def as_json(status: int, facts: Any, *headers: tuple[str, str]) -> Answer:
    """An answer that holds JSON."""
    body = json.dumps(facts, separators=(",", ":"), default=str).encode()
    return Answer(status, body, (("Content-Type", "application/json"), ("Cache-Control", "no-cache"), *headers))


def refusal(error: Refused) -> Answer:
    """What ``error`` looks like to whoever asked."""
    again = (("Retry-After", "5"),) if error.status == 503 else ()
    return as_json(error.status, {"error": error.text}, *again)
