"""Tests what a worker tells systemd, which here is a socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from tests.worker.process import PATIENCE, Shop
from umbel.worker import systemd


@pytest.fixture
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[socket.socket]:
    """What listens at NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path_factory.mktemp("notify") / "s"))
        listening.settimeout(PATIENCE)
        yield listening


def hear(manager: socket.socket, wanted: str) -> list[str]:
    """All that is told, until ``wanted`` is."""
    heard = [manager.recv(100).decode()]
    deadline = time.monotonic() + PATIENCE
    while heard[-1] != wanted:
        assert time.monotonic() < deadline, f"{wanted} is not among {len(heard)} messages"
        heard.append(manager.recv(100).decode())
    return heard


@pytest.mark.parametrize("pool", ["processes", "solo"])
def test_a_worker_says_when_it_is_ready_when_it_stops_and_that_it_lives(
    shop: Shop, manager: socket.socket, pool: str
) -> None:
    shop.environ |= {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "100000"}
    worker = shop.worker("-P", pool, "-c", "1")

    assert set(hear(manager, "READY=1")) <= {"WATCHDOG=1", "READY=1"}
    hear(manager, "WATCHDOG=1")
    result = shop.send("hold", "a")
    shop.wait_for_note("start a")
    worker.signal(signal.SIGTERM)
    hear(manager, "STOPPING=1")
    hear(manager, "WATCHDOG=1")  # somebody who waits for a task's end lives, too
    shop.go()
    assert shop.get(result) == "a"
    assert worker.wait() == 0


def test_a_sign_of_life_that_is_asked_of_another_process_is_not_given(shop: Shop, manager: socket.socket) -> None:
    shop.environ |= {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    worker = shop.worker("-c", "1")
    worker.signal(signal.SIGTERM)

    assert worker.wait() == 0
    assert hear(manager, "STOPPING=1") == ["READY=1", "STOPPING=1"]


def test_an_abstract_socket_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"umbel-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        systemd.notify(systemd.READY)

        assert listening.recv(100) == b"READY=1"


async def test_what_somebody_has_no_room_for_is_told_when_he_has(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                other.sendto(b"WATCHDOG=1", manager.getsockname())
    systemd.notify(systemd.STOPPING)
    heard = await asyncio.to_thread(hear, manager, "STOPPING=1")
    assert set(heard[:-1]) == {"WATCHDOG=1"}


@pytest.mark.parametrize("address", ["", "vsock:1:2", "/nowhere/at/all"])
def test_where_nobody_listens_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)

    systemd.notify(systemd.READY)


async def test_without_a_number_there_is_no_watchdog(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    for text in ("", "0", "soon"):
        monkeypatch.setenv("WATCHDOG_USEC", text)
        with systemd.watched():
            systemd.notify("STATUS=here")
        assert manager.recv(100) == b"STATUS=here"
