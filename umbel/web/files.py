"""The files that pages load: the module of the element, and the style of the page that works without it."""

from __future__ import annotations

import functools
import hashlib
import pkgutil

from umbel.web.exchange import Answer, Asked

KINDS = {
    "umbel-progress.js": "text/javascript; charset=utf-8",
    "umbel-tray.js": "text/javascript; charset=utf-8",
    "umbel-progress.css": "text/css; charset=utf-8",
}

A_YEAR = 365 * 86400


@functools.lru_cache
def read(name: str) -> tuple[bytes, str]:
    """A file of those and its tag."""
    content = pkgutil.get_data(__package__, f"static/{name}")
    if content is None:
        raise FileNotFoundError(f"{name} is missing from the installed package {__package__}")
    return content, f'"{hashlib.sha256(content).hexdigest()[:16]}"'


def file_answer(asked: Asked, name: str) -> Answer | None:
    """The file, or that it is still the same; None where there is none of this name. With ``?v=…`` it may be kept for
    good."""
    kind = KINDS.get(name)
    if kind is None:
        return None
    content, tag = read(name)
    lasting = f"public, max-age={A_YEAR}, immutable" if asked.parameters("v") else "public, max-age=300"
    headers = (("Content-Type", kind), ("ETag", tag), ("Cache-Control", lasting))
    if asked.headers.get("if-none-match") == tag:
        return Answer(304, b"", headers)
    return Answer(200, content, headers)
