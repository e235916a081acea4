"""A site whose messages are on a RabbitMQ server, reached through a proxy, and whose results are in a file beside."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from pathlib import Path

from tests.faults.checker import ask, dead_ids
from tests.faults.site import Site
from tests.servers.proxy import Proxy
from tools.rabbitmq import RabbitMQ
from umbel.app import Umbel
from umbel.ports import Broker, Mark, Marks, ResultBackend


class Abroad(Site):
    """Workers and client go by ``proxy``; ``watcher``, which the ledgers use, goes straight to the server.

    ``options`` are those of the URL, ``others`` more URLs; ``backend`` is a file of its own where it is left out.
    """

    def __init__(
        self,
        folder: Path,
        server: RabbitMQ,
        proxy: Proxy | None = None,
        options: str = "",
        backend: str = "",
        others: str = "",
    ) -> None:
        super().__init__(folder)
        self.queue = f"site-{uuid.uuid4().hex}"
        self.path = folder / "results.db"
        self.direct = server.url
        self.url = (server.url if proxy is None else proxy.url(server.url)) + options
        if others:
            self.url += f";{others}"
        results = backend or f"sqlite:///{self.path}"
        self.environ |= {
            "UMBEL_BROKER_URL": self.url,
            "UMBEL_RESULT_BACKEND": results,
            "UMBEL_TASK_DEFAULT_QUEUE": self.queue,
        }
        for app in (self.app, watcher := Umbel("watcher", broker=server.url, set_as_current=False)):
            app.conf.task_default_queue = self.queue
            app.conf.result_backend = results
        self.app.conf.broker_url = self.url
        self.watcher = watcher
        if not backend:
            ask(self.watcher, open_results)

    def dead(self) -> Collection[str]:
        return dead_ids(self.watcher)

    def left(self) -> int:
        """Messages that are ready in the queue."""

        async def size(broker: Broker, backend: ResultBackend) -> int:
            return await broker.size(self.queue)

        return ask(self.watcher, size)

    def close(self) -> None:
        super().close()
        self.watcher.close()


async def open_results(broker: Broker, backend: ResultBackend) -> None:
    """Have the file there, with its tables."""
    assert isinstance(backend, Marks)
    await backend.put_marks([Mark("opened", "", None)])
