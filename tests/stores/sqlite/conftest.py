"""A store in a folder of its own, and other processes that use it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from umbel.brokers.sqlite import SqliteBroker
from umbel.brokers.sqlite.consumer import SqliteConsumer
from umbel.model import Envelope, Route
from umbel.stores.sqlite import locks
from umbel.stores.sqlite.seats import Seat
from umbel.stores.sqlite.store import SqliteStore

Actor = subprocess.Popen[str]
Act = Callable[..., Actor]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "umbel.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def broker(url: str) -> SqliteBroker:
    return SqliteBroker(url, {})


@pytest.fixture
def store(broker: SqliteBroker) -> SqliteStore:
    return broker.keeper


@pytest.fixture
def act(root: Path) -> Iterator[Act]:
    """Starts one of the actors as a process; all are gone at the end."""
    actors: list[Actor] = []

    def start(name: str, *arguments: object) -> Actor:
        command = [sys.executable, "-m", "tests.stores.sqlite.actors", name, *map(str, arguments)]
        actor = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        actors.append(actor)
        return actor

    yield start
    for actor in actors:
        actor.kill()
        actor.wait()
        for pipe in (actor.stdin, actor.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(autouse=True)
def no_lock_is_left_behind(tmp_path: Path) -> Iterator[None]:
    """Whoever takes a lock lets go of it."""
    yield
    left = [name for name in locks._owned if name.startswith(str(tmp_path))]
    for name in left:
        locks._owned[name].release()
    assert left == []


def line(actor: Actor) -> list[str]:
    """The next line that an actor says, in words."""
    assert actor.stdout is not None
    words = actor.stdout.readline().split()
    assert words, f"the actor ended with status {actor.wait()}"
    return words


def finish(actor: Actor) -> list[list[str]]:
    """Tell an actor to end; the rest of its lines, in words."""
    assert actor.stdin is not None
    assert actor.stdout is not None
    actor.stdin.close()
    # Not communicate(): it would not see what readline() has read ahead.
    rest = actor.stdout.read()
    assert actor.wait() == 0
    return [line.split() for line in rest.splitlines()]


def messages(count: int) -> list[tuple[Route, Envelope]]:
    return [(Route("q"), Envelope("plain", f"id-{number}", b"head", b"body")) for number in range(count)]


def query(store: SqliteStore, statement: str) -> list[tuple[Any, ...]]:
    """What one statement gives; it may write."""
    return store.write(lambda connection: connection.execute(statement).fetchall())


def seat_of(consumer: object) -> Seat:
    """Where a consumer's own connection is."""
    assert isinstance(consumer, SqliteConsumer)
    return consumer._claims.seat
