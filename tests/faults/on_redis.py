"""Sites whose messages and results are on a Redis server, or the results alone, beside RabbitMQ."""

from __future__ import annotations

import socket
import threading
import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from hiredis import Reader

from tests.faults.abroad import Abroad
from tests.faults.checker import ask, dead_ids
from tests.faults.mill import open_mill
from tests.faults.site import Site
from tests.servers.proxy import Proxy
from tools.rabbitmq import RabbitMQ
from tools.redis_cluster import RedisCluster
from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.model import FINAL_STATES
from umbel.ports import Broker, ResultBackend
from umbel.stores.redis.cluster_layout import ClusterLayout
from umbel.stores.redis.records import state_in


class OnRedis(Site):
    """Workers and client go by ``proxy``; ``watcher``, which the ledgers use, goes straight to the server.

    ``lease`` is that of the workers, in seconds; ``backend`` is another place for results.
    """

    def __init__(
        self,
        folder: Path,
        server: RedisServer | RedisCluster,
        proxy: Proxy | None = None,
        lease: float = 25.0,
        backend: str = "",
    ) -> None:
        super().__init__(folder)
        self.prefix = f"site-{uuid.uuid4().hex}:"
        self.direct = f"{server.url}?global_keyprefix={self.prefix}&lease={lease}"
        self.url = self.direct if proxy is None else proxy.url(self.direct)
        self.environ["UMBEL_BROKER_URL"] = self.app.conf.broker_url = self.url
        self.watcher = open_mill(Umbel("watcher", broker=self.direct, set_as_current=False), folder / "diary")
        if backend:
            self.environ["UMBEL_RESULT_BACKEND"] = backend
            self.app.conf.result_backend = self.watcher.conf.result_backend = backend
        self._server = server
        self._witness: Witness | None = None

    @property
    def server(self) -> RedisServer:
        """The server."""
        assert isinstance(self._server, RedisServer)
        return self._server

    def dead(self) -> Collection[str]:
        return dead_ids(self.watcher)

    def left(self) -> int:
        """Messages that are there: ready, delayed or claimed."""

        async def size(broker: Broker, backend: ResultBackend) -> int:
            return await broker.size("celery") + int(
                await broker.keeper.link.ask("HLEN", f"{self.prefix}unacked")  # type: ignore[attr-defined]
            )

        return ask(self.watcher, size)

    @property
    def servers(self) -> Sequence[RedisServer]:
        """Those that have keys."""
        return [self.server]

    def keys(self) -> dict[str, int]:
        """Every key without the prefix, and in how many seconds it expires; -1 for never."""
        found = {}
        for server in self.servers:
            for key in server.command("KEYS", f"{self.prefix}*").splitlines():
                found[key.removeprefix(self.prefix)] = int(server.command("TTL", key))
        return found

    def witness(self) -> None:
        """From now on write down every final record that is told."""
        self._witness = Witness(self.server, f"{self.prefix}celery-task-meta-")

    def written_twice(self) -> list[tuple[object, ...]]:
        assert self._witness is not None
        return self._witness.twice()

    def close(self) -> None:
        super().close()
        self.watcher.close()
        if self._witness is not None:
            self._witness.close()


class OnCluster(OnRedis):
    """Messages and results are on a Redis Cluster."""

    def __init__(self, folder: Path, cluster: RedisCluster, lease: float = 25.0) -> None:
        super().__init__(folder, cluster, lease=lease)
        self.cluster = cluster
        self.layout = ClusterLayout(self.prefix, "celery")

    @property
    def servers(self) -> Sequence[RedisServer]:
        return self.cluster.primaries

    def left(self) -> int:
        async def size(broker: Broker, backend: ResultBackend) -> int:
            claimed = await broker.keeper.link.ask("HLEN", self.layout.unacked)  # type: ignore[attr-defined]
            return await broker.size("celery") + int(claimed)

        return ask(self.watcher, size)

    def witness(self) -> None:
        self._witness = Witness(self.cluster.primaries[-1], f"{self.prefix}{{umbel.", "}record")


class Beside(Abroad):
    """Messages are on RabbitMQ, results on Redis."""

    def __init__(self, folder: Path, rabbitmq: RabbitMQ, redis: RedisServer) -> None:
        self._results = redis
        self._prefix = f"site-{uuid.uuid4().hex}:"
        super().__init__(folder, rabbitmq, backend=f"{redis.url}?global_keyprefix={self._prefix}")
        self._witness: Witness | None = None

    def witness(self) -> None:
        self._witness = Witness(self._results, f"{self._prefix}celery-task-meta-")

    def written_twice(self) -> list[tuple[object, ...]]:
        assert self._witness is not None
        return self._witness.twice()

    def close(self) -> None:
        super().close()
        if self._witness is not None:
            self._witness.close()


class Witness:
    """Hears of every record that the server takes, over a connection of its own, as long as that lasts.

    The names of the channels begin and end so, with an id between.
    """

    def __init__(self, server: RedisServer, begin: str, end: str = "") -> None:
        self.ends: defaultdict[str, list[str]] = defaultdict(list)
        self._begin, self._end = begin, end
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._socket.sendall(f"PSUBSCRIBE {begin}*{end}\r\n".encode())
        self._reader = Reader()
        assert self._told(b"psubscribe")
        self._thread = threading.Thread(target=self._listen, name="witness")
        self._thread.start()

    def _told(self, kind: bytes) -> list[bytes] | None:
        while True:
            answer = self._reader.gets()
            if answer is not False:
                return list(answer) if answer[0] == kind else None
            data = b""
            with suppress(OSError):
                data = self._socket.recv(1 << 16)
            if not data:
                return None
            self._reader.feed(data)

    def _listen(self) -> None:
        while (told := self._told(b"pmessage")) is not None:
            state = state_in(told[3])
            if state in FINAL_STATES:
                self.ends[told[2].decode().removeprefix(self._begin).removesuffix(self._end)].append(state)

    def twice(self) -> list[tuple[object, ...]]:
        """Each task that had more than one end, with those."""
        return [(id, *states) for id, states in self.ends.items() if len(states) > 1]

    def close(self) -> None:
        """Hear nothing more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
