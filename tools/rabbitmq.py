"""A RabbitMQ server for tests and benchmarks, on a free port and in a folder that can be thrown away."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tools.ports import free_port

SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The inner script: the one on PATH changes the user and drops the environment."""

PATIENCE = 120.0


class RabbitMQ:
    """One server. ``start`` again after ``kill`` or ``stop`` brings back what was durable."""

    def __init__(self, folder: Path, config: str = "", advanced: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self._spread = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n{config}")
        (folder / "plugins").write_text("[].")
        if advanced:
            (folder / "advanced.config").write_text(advanced)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"umbel{self.port}@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._spread),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def control(self, *words: str) -> str:
        """What ``rabbitmqctl`` says to these words; raises ``CalledProcessError`` when it cannot do them."""
        done = subprocess.run(
            [SCRIPT.with_name("rabbitmqctl"), *words],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def start(self) -> None:
        """Start it and return when it takes logins."""
        folder = self.folder
        log = folder / "out"
        log.write_bytes(b"")
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [SCRIPT],
                env=self._environment(),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while b"Server startup complete" not in log.read_bytes() or not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"RabbitMQ does not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.05)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as way:
            way.sendall(b"AMQP\x00\x00\x09\x01")
            return way.recv(1) == b"\x01"
        return False

    @property
    def pid(self) -> int | None:
        """The process that serves: a child of the script."""
        assert self._process is not None
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError, IndexError):
                name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
                parent = int(rest.split()[1])
                if name == "beam.smp" and parent == self._process.pid:
                    return int(stat.parent.name)
        return None

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._process = process
        beam = self.pid
        self._process = None
        with contextlib.suppress(ProcessLookupError):
            os.kill(beam or process.pid, number)
        process.wait(PATIENCE)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
