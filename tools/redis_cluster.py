"""A Redis Cluster for tests: primaries, and replicas if asked for, on free ports, in folders to be thrown away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.ports import free_port
from tools.redis_server import PATIENCE, RedisServer

SLOTS = 16384
_KEYS_AT_ONCE = 50


class RedisCluster:
    """So many primaries with the slots dealt out among them, and so many replicas, the first of the first primary.

    A server that does not answer for ``timeout`` seconds counts as gone.
    """

    def __init__(
        self, folder: Path, primaries: int = 3, replicas: int = 0, *options: str, timeout: float = 2.0
    ) -> None:
        self.folder = folder
        common = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(int(timeout * 1000)), *options]
        names = [*(f"primary-{n}" for n in range(primaries)), *(f"replica-{n}" for n in range(replicas))]
        self._buses = [str(free_port()) for _ in names]
        pairs = zip(names, self._buses, strict=True)
        self.servers = [RedisServer(folder / name, *common, "--cluster-port", bus) for name, bus in pairs]
        self.primaries: Sequence[RedisServer] = self.servers[:primaries]
        """Those that have slots."""
        self.replicas: Sequence[RedisServer] = self.servers[primaries:]
        """Those that have none at the beginning, in the order of their primaries."""

    @property
    def url(self) -> str:
        """Where all of them are."""
        return ";".join(f"rediscluster://127.0.0.1:{server.port}" for server in self.servers)

    def start(self) -> None:
        """Start all and return when each knows who has what, and a failover would work."""
        for server in self.servers:
            server.start()
        share = SLOTS // len(self.primaries)
        for number, server in enumerate(self.primaries):
            last = SLOTS - 1 if server is self.primaries[-1] else (number + 1) * share - 1
            server.command("CLUSTER", "ADDSLOTSRANGE", str(number * share), str(last))
            server.command("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
        first = self.servers[0]
        for server in self.servers[1:]:
            server.command("CLUSTER", "MEET", "127.0.0.1", str(first.port), self._buses[0])
        self._wait(lambda: all(self._knows(server) == len(self.servers) for server in self.servers))
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            replica.command("CLUSTER", "REPLICATE", self._id(primary))
            self._wait(lambda p=primary: "state=online" in p.command("INFO", "replication"))  # type: ignore[misc]
        self._wait(lambda: all(self._agrees(server) for server in self.servers))

    def slot(self, key: str) -> int:
        """The slot of a key, as a server has it."""
        return int(self.servers[0].command("CLUSTER", "KEYSLOT", key))

    def owner(self, key: str) -> RedisServer:
        """The primary that has a key, as the primaries say that are there."""
        slot, told = self.slot(key), self._slots(self.servers[-1])
        port = next(port for first, last, port in told if first <= slot <= last)
        return next(server for server in self.servers if server.port == port)

    def moving(self, slot: int, giver: RedisServer, receiver: RedisServer) -> None:
        """Begin to move a slot: its keys are on their way from now on."""
        receiver.command("CLUSTER", "SETSLOT", str(slot), "IMPORTING", self._id(giver))
        giver.command("CLUSTER", "SETSLOT", str(slot), "MIGRATING", self._id(receiver))

    def move_keys(self, slot: int, giver: RedisServer, receiver: RedisServer) -> int:
        """Move the keys of the slot that are there; gives how many."""
        count = 0
        while keys := giver.command("CLUSTER", "GETKEYSINSLOT", str(slot), str(_KEYS_AT_ONCE)).splitlines():
            giver.command("MIGRATE", "127.0.0.1", str(receiver.port), "", "0", "5000", "KEYS", *keys)
            count += len(keys)
        return count

    def moved(self, slot: int, receiver: RedisServer) -> None:
        """The slot is the receiver's."""
        for server in (receiver, *(each for each in self.primaries if each is not receiver)):
            server.command("CLUSTER", "SETSLOT", str(slot), "NODE", self._id(receiver))

    def move(self, slot: int, giver: RedisServer, receiver: RedisServer) -> None:
        """Move a slot with everything in it."""
        self.moving(slot, giver, receiver)
        self.move_keys(slot, giver, receiver)
        self.moved(slot, receiver)

    def caught_up(self, primary: RedisServer) -> None:
        """Return when the replica of a primary has what it has."""
        self._wait(lambda: primary.command("WAIT", "1", "100") == "1")

    def pair(self) -> tuple[RedisServer, RedisServer]:
        """A primary and its replica, as they are now."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for replica in self.servers:
                told = dict(line.partition(":")[::2] for line in replica.command("INFO", "replication").splitlines())
                if told["role"] == "slave":
                    return next(each for each in self.servers if str(each.port) == told["master_port"]), replica
            time.sleep(0.02)
        raise RuntimeError("no server of the cluster is a replica")

    def taken_over(self, primary: RedisServer, replica: RedisServer) -> None:
        """Return when the replica of a primary that was killed has taken over, and all that are left know."""
        left = [server for server in self.servers if server is not primary]
        self._wait(lambda: "role:master" in replica.command("INFO", "replication"))
        self._wait(lambda: all(self._agrees(server) for server in left))
        self.primaries = [replica if server is primary else server for server in self.primaries]

    def bring_back(self, killed: RedisServer) -> None:
        """Start a server that was killed, if it was; return when all agree and a failover would work again."""
        if not killed.runs:
            killed.start()
        self._wait(lambda: "state=online" in self.pair()[0].command("INFO", "replication"))
        self._wait(lambda: all(self._agrees(server) for server in self.servers))

    def close(self) -> None:
        """End everything and remove the folder."""
        for server in self.servers:
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _id(self, server: RedisServer) -> str:
        return server.command("CLUSTER", "MYID")

    def _knows(self, server: RedisServer) -> int:
        """How many servers it is in touch with, itself among them."""
        lines = server.command("CLUSTER", "NODES").splitlines()
        return sum(" connected" in line and "handshake" not in line for line in lines)

    def _agrees(self, server: RedisServer) -> bool:
        served = sum(last - first + 1 for first, last, _ in self._slots(server))
        return "cluster_state:ok" in server.command("CLUSTER", "INFO") and served == SLOTS

    def _slots(self, server: RedisServer) -> list[tuple[int, int, int]]:
        """First slot, last slot and port of each range, as the server says."""
        found = []
        for line in server.command("CLUSTER", "NODES").splitlines():
            words = line.split()
            if "fail" not in words[2].split(","):
                port = int(words[1].partition("@")[0].rpartition(":")[2])
                ranges = [word.partition("-") for word in words[8:] if not word.startswith("[")]
                found += [(int(first), int(last or first), port) for first, _, last in ranges]
        return found

    @staticmethod
    def _wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError("the servers of the cluster do not agree")
            time.sleep(0.02)
