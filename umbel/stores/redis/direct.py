"""A connection to a Redis server that threads use themselves, one at a time, without a loop."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from typing import Any

from hiredis import HiredisError, pack_command
from hiredis import Reader as Parser

from umbel.errors import StoreUnreachable
from umbel.stores.redis.address import Address
from umbel.stores.redis.connection import Word
from umbel.stores.redis.opening import admitted, greeting

_AT_ONCE = 65536
"""Bytes that are read at most in one go."""


class DirectConnection:
    """To ``address``, that of a server which does not encrypt; ``timeout`` are the seconds that connecting may take.

    Raises what ``opening.connect`` does. The system must have ``select.poll``.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self._parser = Parser()
        try:
            self._socket = _connected(address, timeout)
        except OSError as error:
            raise StoreUnreachable(f"{address}: {error}") from error
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            admitted(address, self.ask(greeting(address), timeout))
        except BaseException:
            self.close()
            raise

    @property
    def quiet(self) -> bool:
        """Whether it is as it was left: what comes unasked is its end."""
        return not self._poll.poll(0)

    def ask(self, commands: Sequence[Sequence[Word]], timeout: float) -> list[Any]:
        """What the server answers to each, within ``timeout`` seconds; an answer may be a ``hiredis.ReplyError``.

        Raises ``StoreUnreachable``, ``doubtful``, when the connection is lost. It cannot be used after any error.
        """
        parser = self._parser
        answers: list[Any] = []
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(b"".join([_packed(words) for words in commands]))
            for _ in commands:
                while (answer := parser.gets()) is False:
                    some = self._socket.recv(_AT_ONCE)
                    if not some:
                        raise OSError("the server hung up")
                    parser.feed(some)
                answers.append(answer)
        except (OSError, HiredisError) as error:
            lost = StoreUnreachable(f"{self.address}: the connection was lost: {error}")
            lost.doubtful = True
            raise lost from error
        return answers

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


def _packed(words: Sequence[Word]) -> bytes:
    packed: bytes = pack_command(tuple(words))  # type: ignore[arg-type]  # it takes any number of them
    return packed


def _connected(address: Address, timeout: float) -> socket.socket:
    if not address.path:
        plug = socket.create_connection((address.host, address.port), timeout)
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return plug
    plug = socket.socket(socket.AF_UNIX)
    try:
        plug.settimeout(timeout)
        plug.connect(address.path)
    except BaseException:
        plug.close()
        raise
    return plug
