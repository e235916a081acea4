"""Ports for servers of tests and benchmarks."""

from __future__ import annotations

import contextlib
import random
import socket

PORTS = range(20_000, 32_768)
"""Below those that the kernel gives to connections: nobody is given one between looking for it and listening there."""

_chance = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """A port of the loopback that nobody uses, and that was not given before; raises ``OSError`` if there is none."""
    for port in _chance.sample(PORTS, len(PORTS)):
        with socket.socket() as listener, contextlib.suppress(OSError):
            if port not in _given:
                listener.bind(("127.0.0.1", port))
                _given.add(port)
                return port
    raise OSError(f"no port from {PORTS.start} to {PORTS.stop - 1} is free")
