"""Hides the secrets of a URL before it is shown."""

from __future__ import annotations

import re

MASK = "********"

_SECRET_PARAMETER = re.compile(
    r"([?&;](?:[^=&;]*(?:pass|pwd|secret|token|credential|signature|api_?key|access_?key)[^=&;]*|sig|key)=)[^&;#]*",
    re.IGNORECASE,
)


def mask_url(url: str) -> str:
    """The URL with its password, and query parameters that look like secrets, replaced by stars.

    A password that should have been percent-encoded and is not (it holds ``/``, ``@`` or ``?``) is hidden too: all
    from the first colon after the scheme to the last ``@`` goes, at the price of hiding too much of an odd URL.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return MASK if "@" in url else url
    if not rest.startswith("/"):
        credentials, at, address = rest.rpartition("@")
        user, colon, _ = credentials.partition(":")
        if at and colon:
            rest = f"{user}:{MASK}@{address}"
    return scheme + mark + _SECRET_PARAMETER.sub(rf"\g<1>{MASK}", rest)
