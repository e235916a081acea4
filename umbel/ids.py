"""Makes the identifiers: of tasks and of worker nodes."""

from __future__ import annotations

import os
import re
import time

from umbel.errors import ConfigurationError

_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""A random hexadecimal digit → the digit of RFC 9562's variant that keeps two of its bits."""


def new_id() -> str:
    """A UUID of version 7 in its standard text: 48 bits of unix milliseconds, then 74 random bits.

    Ids made later sort later (to the millisecond), so a store's index grows at its end. The randomness is read from
    the operating system for every id: nothing of it survives a fork.
    """
    stamp = "%012x" % (time.time_ns() // 1_000_000)
    bits = os.urandom(10).hex()
    return f"{stamp[:8]}-{stamp[8:]}-7{bits[:3]}-{_VARIANT[bits[3]]}{bits[4:7]}-{bits[7:19]}"


def new_ids(n: int) -> list[str]:
    """``n`` ids as ``new_id`` makes them, in increasing order, from one reading of the clock and of the randomness."""
    stamp = "%012x" % (time.time_ns() // 1_000_000)
    start = f"{stamp[:8]}-{stamp[8:]}-7"
    bits = os.urandom(10 * n).hex()
    variant = _VARIANT
    ids = [
        f"{start}{bits[i : i + 3]}-{variant[bits[i + 3]]}{bits[i + 4 : i + 7]}-{bits[i + 7 : i + 19]}"
        for i in range(0, 20 * n, 20)
    ]
    ids.sort()
    return ids


def node_name(template: str | None = None) -> str:
    """The name of this worker node: ``umbel@<hostname>``, or what ``template`` says.

    In it ``%h`` is the full host name, ``%n`` its first part, ``%d`` the rest, ``%p`` the whole default name,
    ``%i`` and ``%I`` the index in the pool (empty: a node has none), ``%%`` a percent sign. A template without ``@``
    is the part after it. Raises ``ConfigurationError`` for another letter after ``%``.
    """
    import socket

    host = socket.gethostname()
    first, _, rest = host.partition(".")
    default = f"umbel@{host}"
    if not template:
        return default
    known = {"h": host, "n": first, "d": rest, "p": default, "i": "", "I": "", "%": "%"}

    def expand(found: re.Match[str]) -> str:
        letter = found[1]
        if letter not in known:
            raise ConfigurationError(
                f"node name {template!r}: %{letter} means nothing here; use %h, %n, %d, %i, %I, %p or %%"
            )
        return known[letter]

    name = re.sub(r"%(.?)", expand, template, flags=re.DOTALL)
    return name if "@" in name else f"umbel@{name}"
