"""Starts a worker: resolves what it is to do, and runs its node until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from umbel.app import Umbel
from umbel.worker.alone import run_alone
from umbel.worker.node import Node
from umbel.worker.origin import Origin
from umbel.worker.plan import plan_for
from umbel.worker.processes import Processes


def run(
    app: Umbel,
    *,
    queues: Sequence[str] | None = None,
    pool: str | None = None,
    concurrency: int | None = None,
    name: str | None = None,
    grace: float | None = None,
    origin: Origin | None = None,
    log: Mapping[str, Any] | None = None,
    on_ready: Callable[[], None] | None = None,
) -> int:
    """Be a worker of ``app`` until SIGTERM or SIGINT; gives the exit status.

    The first signal is warm: nothing new is claimed, what runs may finish within ``grace`` seconds (``worker_grace``),
    the rest goes back to the broker at once. A second one gives everything back now. Status 0 after a warm end in
    which nothing was cut off, else 1. What is None comes from the settings; ``on_ready`` is called when tasks can run.

    Raises ``ConfigurationError``, ``StoreError`` and ``StartFailed`` when it cannot start. Whatever kills this
    process, every task that was not settled is run again by another worker.
    """
    app.import_modules()
    plan = plan_for(
        app, queues=queues, pool=pool, concurrency=concurrency, name=name, grace=grace, origin=origin, log=log
    )
    if plan.pool == "solo":
        return run_alone(app, plan, on_ready)
    node = Node(app, plan, lambda consumer, fleet: Processes(plan, consumer, fleet), on_ready)

    async def main() -> int:
        with node.shutdown.on_signals():
            return await node.serve()

    return asyncio.run(main())
