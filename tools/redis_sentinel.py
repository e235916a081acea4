"""A primary, a replica and the sentinels that watch them, for tests: on free ports, in folders to be thrown away."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tools.ports import free_port
from tools.redis_server import PATIENCE, RedisServer

NAME = "umbel-test"


class Sentinel:
    """One process that watches the server at this port; of all of them, ``quorum`` must agree. ``more`` are further
    lines of its configuration."""

    def __init__(self, folder: Path, primary: int, quorum: int, password: str | None = None, *more: str) -> None:
        self.folder = folder
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{folder}"',
            *more,
            f"sentinel monitor {NAME} 127.0.0.1 {primary} {quorum}",
            f"sentinel down-after-milliseconds {NAME} 1000",
            f"sentinel failover-timeout {NAME} 10000",
            *([f"requirepass {password}", f"sentinel sentinel-pass {password}"] if password else []),
        ]
        self._config = folder / "sentinel.conf"
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; ``Watched`` waits until it takes commands."""
        command = ["redis-server", str(self._config), "--sentinel", "--logfile", str(self.folder / "log")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)


class Watched:
    """Two servers and three sentinels. ``primary`` is the server that was it at the beginning."""

    def __init__(self, folder: Path, *, password: str | None = None) -> None:
        self.folder = folder
        self.password = password
        self.primary = RedisServer(folder / "primary")
        self.replica = RedisServer(folder / "replica", "--replicaof", "127.0.0.1", str(self.primary.port))
        self.sentinels = [Sentinel(folder / f"sentinel-{n}", self.primary.port, 2, password) for n in range(3)]

    @property
    def url(self) -> str:
        """Where the sentinels are, as Celery writes it, with the name of what they watch."""
        places = [f"sentinel://127.0.0.1:{sentinel.port}" for sentinel in self.sentinels]
        return f"{';'.join(places)}/0?master_name={NAME}" + (
            f"&sentinel_password={self.password}" if self.password else ""
        )

    def start(self) -> None:
        """Start all and return when a failover would work; raises ``RuntimeError`` when it never would."""
        try:
            self.primary.start()
            self.replica.start()
            for sentinel in self.sentinels:
                sentinel.start()
            self._wait(lambda: "slave0:" in self.primary.command("INFO", "replication"))
            self._wait(lambda: all(map(self._ready, self.sentinels)))
        except BaseException:
            self.close()
            raise

    def primary_port(self) -> int:
        """Which server the first sentinel that answers names."""
        for sentinel in self.sentinels:
            with contextlib.suppress(subprocess.CalledProcessError):
                told = self._ask(sentinel, "SENTINEL", "get-master-addr-by-name", NAME).split()
                return int(told[1])
        return 0

    def _ready(self, sentinel: Sentinel) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            told = self._ask(sentinel, "SENTINEL", "master", NAME).split("\n")
            facts = dict(zip(told[::2], told[1::2], strict=False))
            return facts.get("num-slaves") == "1" and facts.get("num-other-sentinels") == "2"
        return False

    def _ask(self, sentinel: Sentinel, *words: str) -> str:
        login = ["-a", self.password, "--no-auth-warning"] if self.password else []
        command = ["redis-cli", *login, "-p", str(sentinel.port), *words]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout

    def fail_over(self, *, kill: bool = True) -> None:
        """Have the replica take over; return when the sentinels name it and it takes writes.

        The primary is killed, or becomes a replica whose connections stay.
        """
        if kill:
            self.primary.kill()
        else:
            self._ask(self.sentinels[0], "SENTINEL", "FAILOVER", NAME)
        self._wait(lambda: self.primary_port() == self.replica.port)
        self._wait(lambda: "role:master" in self.replica.command("INFO", "replication"))
        if not kill:
            self._wait(lambda: "role:slave" in self.primary.command("INFO", "replication"))

    def caught_up(self) -> None:
        """Return when the replica has what the primary has."""
        self._wait(lambda: self.primary.command("WAIT", "1", "100") == "1")

    def _wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the sentinels do not agree: {[self._said(each) for each in self.sentinels]}")
            time.sleep(0.02)

    def _said(self, sentinel: Sentinel) -> list[str]:
        try:
            return self._ask(sentinel, "SENTINEL", "master", NAME).split("\n")
        except subprocess.CalledProcessError:
            return ["no answer"]

    def close(self) -> None:
        """End everything and remove the folder."""
        for sentinel in self.sentinels:
            sentinel.kill()
        self.primary.kill()
        self.replica.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
