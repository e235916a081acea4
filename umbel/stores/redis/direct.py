"""A connection to a Redis server that threads use themselves, one at a time, without a loop."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

from hiredis import HiredisError, PushNotification, pack_command
from hiredis import Reader as Parser

from umbel.errors import StoreError, StoreUnreachable
from umbel.stores.redis.address import Address
from umbel.stores.redis.connection import Connection, Word
from umbel.stores.redis.link import Way
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
        self._patience = timeout
        try:
            self._socket = _connected(address, timeout)
        except OSError as error:
            raise StoreUnreachable(f"{address}: {error}") from error
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        try:
            admitted(address, self.ask(greeting(address, pushes=True), timeout))
        except BaseException:
            self.close()
            raise

    @property
    def quiet(self) -> bool:
        """Whether it is as it was left: what comes unasked is its end."""
        return not self._poll.poll(0)

    def ask(self, commands: Sequence[Sequence[Word]], timeout: float) -> list[Any]:
        """What the server answers to each, within ``timeout`` seconds; an answer may be a ``hiredis.ReplyError``.

        What it pushes meanwhile is passed over. Raises ``StoreUnreachable``, ``doubtful``, when the connection is lost.
        It cannot be used after any error.
        """
        deadline = monotonic() + timeout
        answers: list[Any] = []
        try:
            self.tell(commands, timeout)
            while len(answers) < len(commands):
                said = self.hear(deadline - monotonic())
                if type(said) is not PushNotification:
                    answers.append(said)
        except TimeoutError as error:
            raise self._lost(error) from error
        return answers

    def tell(self, commands: Sequence[Sequence[Word]], timeout: float) -> None:
        """Send commands, whose answers are to be heard; raises as ``ask``."""
        try:
            if timeout != self._patience:
                self._socket.settimeout(timeout)
                self._patience = timeout
            self._socket.sendall(b"".join([_packed(words) for words in commands]))
        except OSError as error:
            raise self._lost(error) from error

    def hear(self, timeout: float) -> Any:
        """What the server says next: an answer or a ``hiredis.PushNotification``.

        Raises ``TimeoutError`` when that is nothing within ``timeout`` seconds, and as ``ask``.
        """
        try:
            while (said := self._parser.gets()) is False:
                if not self._poll.poll(max(0.0, timeout) * 1000):
                    raise TimeoutError("no answer in time")
                some = self._socket.recv(_AT_ONCE)
                if not some:
                    raise ConnectionError("the server hung up")
                self._parser.feed(some)
        except TimeoutError:
            raise
        except (OSError, HiredisError) as error:
            raise self._lost(error) from error
        return said

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()

    def _lost(self, error: Exception) -> StoreUnreachable:
        lost = StoreUnreachable(f"{self.address}: the connection was lost: {error}")
        lost.doubtful = True
        return lost


class Beside:
    """A direct connection beside that of ``link``, for one thread at a time; made at first use, and again when lost.

    There is none where the link's own server is not known, is spoken to in TLS, is one of a cluster, or takes no second
    connection.
    """

    def __init__(self, link: Way) -> None:
        self.closed = False
        self._link = link
        self._lock = threading.Lock()
        self._connection: DirectConnection | None = None
        self._of: Connection | None = None
        """The link's connection beside which this one was made, or could not be made."""

    def borrow(self, timeout: float) -> DirectConnection | None:
        """The connection, made within ``timeout`` seconds, until ``give_back``; None where there is none now."""
        of = self._link.standing
        if of is None or not self._lock.acquire(blocking=False):
            return None
        connection = None
        try:
            connection = self._of_now(of, timeout)
        finally:
            if connection is None:
                self._lock.release()
        return connection

    def give_back(self) -> None:
        """It is not needed any more."""
        if self.closed:
            self.drop()
        self._lock.release()

    def drop(self, *, for_good: bool = False) -> None:
        """Let go of what was borrowed; ``for_good``: another one would do no better."""
        connection, self._connection = self._connection, None
        if not for_good:
            self._of = None
        if connection is not None:
            connection.close()

    def close(self) -> None:
        """Let go of it for ever, once nobody uses it."""
        self.closed = True
        if self._lock.acquire(blocking=False):
            self.give_back()

    def _of_now(self, of: Connection, timeout: float) -> DirectConnection | None:
        known = self._connection
        if known is not None:
            if self._of is of and known.quiet:
                return known
            self.drop()
        elif self.closed or self._of is of:
            return None
        self._of, address = of, of.address
        if address.tls or address.cluster or not hasattr(select, "poll"):
            return None
        try:
            self._connection = DirectConnection(address, min(timeout, address.connect_timeout or timeout))
        except StoreError:
            return None
        return self._connection

    def __del__(self) -> None:
        self.drop()


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
