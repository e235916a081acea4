"""What one worker is to do: settings and flags, resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from umbel import ids
from umbel.app import Umbel
from umbel.errors import ConfigurationError
from umbel.settings.options import OPTIONS
from umbel.worker.origin import Origin, origin_of

SHARED = ("threads", "async")
"""The pools of one process for all tasks."""

INSTEAD = {"gevent": "threads", "eventlet": "threads"}
"""What stands in for a pool that there is not."""

ASYNC_CONCURRENCY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``grace`` is in seconds; ``log`` are the arguments of ``log.setup``; ``origin`` is None in the pool solo.

    ``stands_for`` is the pool that was asked for and that ``pool`` stands in for, or None.
    ``state_dir`` is the folder that was asked for, None for the usual one, which need not be writable.
    """

    name: str
    queues: tuple[str, ...]
    pool: str
    concurrency: int
    multiplier: int | None
    grace: float
    origin: Origin | None
    log: Mapping[str, Any] = field(default_factory=dict)
    stands_for: str | None = None
    state_dir: str | None = None

    @property
    def slots(self) -> int:
        """How many tasks each runner process runs at once."""
        return self.concurrency if self.pool in SHARED else 1

    @property
    def runners(self) -> int:
        """How many runner processes there are."""
        return self.concurrency // self.slots


def _refuse_hard_limits(app: Umbel) -> None:
    limited = [task.name for task in app.tasks.values() if task.time_limit is not None]
    if app.conf.task_time_limit is not None or limited:
        raise ConfigurationError(
            "the pool solo cannot keep a hard time limit, for the task runs in the worker's own process: use the pool "
            f"'processes', or a soft_time_limit, for {', '.join(limited) or 'task_time_limit'}"
        )


def plan_for(
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
) -> Plan:
    """The plan; what is None comes from the settings. ``exclude`` names queues to leave alone.

    Raises ``ConfigurationError`` for what cannot be done.
    """
    conf = app.conf
    asked: str = conf.worker_pool if pool is None else OPTIONS["worker_pool"].accept(pool, "pool")
    chosen = INSTEAD.get(asked, asked)
    wanted: int = conf.worker_concurrency
    if chosen == "async" and conf.origin("worker_concurrency") == "default":
        wanted = ASYNC_CONCURRENCY
    if concurrency is not None:
        wanted = OPTIONS["worker_concurrency"].accept(concurrency, "concurrency")
    if chosen == "solo" and concurrency not in (None, 1):
        raise ConfigurationError(f"the pool solo runs one task at a time: leave out concurrency={concurrency}")
    if chosen == "solo":
        _refuse_hard_limits(app)
    seconds: float = conf.worker_grace if grace is None else OPTIONS["worker_grace"].accept(grace, "grace")
    if state_dir is None and conf.origin("worker_state_dir") != "default":
        state_dir = conf.worker_state_dir
    chosen_queues = app.queues.chosen(queues or conf.worker_queues, exclude)
    return Plan(
        name=ids.node_name(name),
        queues=tuple(queue.name for queue in chosen_queues),
        pool=chosen,
        concurrency=1 if chosen == "solo" else wanted,
        multiplier=conf.worker_prefetch_multiplier,
        grace=seconds,
        origin=None if chosen == "solo" else (origin or origin_of(app)),
        log=dict(log or {}),
        stands_for=asked if asked in INSTEAD else None,
        state_dir=state_dir,
    )
