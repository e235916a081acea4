"""Starts a worker: resolves what it is to do, and runs its node until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from umbel import ids
from umbel.app import Umbel
from umbel.worker import hooks
from umbel.worker.alone import run_alone
from umbel.worker.node import Node
from umbel.worker.origin import Origin
from umbel.worker.plan import Plan, plan_for
from umbel.worker.processes import Processes
from umbel.worker.trimming import hold_threshold

logger = logging.getLogger("umbel.worker")


def run(
    app: Umbel,
    *,
    queues: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    pool: str | None = None,
    concurrency: int | None = None,
    name: str | None = None,
    grace: float | None = None,
    origin: Origin | None = None,
    log: Mapping[str, Any] | None = None,
    state_dir: str | None = None,
    on_plan: Callable[[Plan], None] | None = None,
    on_ready: Callable[[], None] | None = None,
) -> int:
    """Be a worker of ``app`` until SIGTERM or SIGINT; gives the exit status.

    The first signal is warm: nothing new is claimed, what runs may finish within ``grace`` seconds (``worker_grace``),
    the rest goes back to the broker at once. A second one gives everything back now. Status 0 after a warm end in
    which nothing was cut off, else 1. What is None comes from the settings; ``exclude`` names queues to leave alone;
    ``on_plan`` is called when it is known what the worker will do, ``on_ready`` when tasks can run.

    Raises ``ConfigurationError``, ``StoreError`` and ``StartFailed`` when it cannot start. Whatever kills this
    process, every task that was not settled is run again by another worker.
    """
    app.import_modules()
    asked: dict[str, Any] = {
        "queues": queues,
        "exclude": exclude or None,
        "pool": pool,
        "concurrency": concurrency,
        "grace": grace,
        "state_dir": state_dir,
    }
    given = {option: value for option, value in asked.items() if value is not None}
    hooks.starting(app, ids.node_name(name), given)
    plan = plan_for(app, **given, name=name, origin=origin, log=log)
    if plan.stands_for is not None:
        logger.warning(
            "There is no pool %r: the pool %r runs the tasks, each in a thread of its own", plan.stands_for, plan.pool
        )
    app.middleware.check(app.tasks.values())
    if on_plan is not None:
        on_plan(plan)
    with hooks.worker(plan.name):
        if plan.pool == "solo":
            return run_alone(app, plan, on_ready)
        hold_threshold()
        node = Node(app, plan, lambda consumer, fleet: Processes(plan, consumer, fleet), on_ready)
        return asyncio.run(_serve(node))


async def _serve(node: Node) -> int:
    with node.shutdown.on_signals():
        return await node.serve()
