"""Sends the signals of a worker's life: of the whole of it, and of each process that runs tasks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from umbel import log, printed, signals
from umbel.app import Umbel


def starting(app: Umbel, name: str, options: Mapping[str, Any]) -> None:
    """First of all, in every process of the worker: what receivers write to ``app.conf`` holds there."""
    signals.worker_starting.send(sender=name, conf=app.conf, options=dict(options))


@contextlib.contextmanager
def worker(name: str) -> Iterator[None]:
    """A worker, from before it starts to after it has ended."""
    signals.worker_init.send(sender=name)
    try:
        yield
    finally:
        signals.worker_shutdown.send(sender=name)


@contextlib.contextmanager
def process(name: str) -> Iterator[None]:
    """A process that runs tasks, from before it is ready to its orderly end; one that is killed says nothing."""
    signals.worker_process_init.send(sender=name)
    exitcode = 1
    try:
        yield
        exitcode = 0
    finally:
        signals.worker_process_shutdown.send(sender=name, pid=os.getpid(), exitcode=exitcode)


def printing(app: Umbel) -> AbstractContextManager[None]:
    """While in the block, what is printed is logged, where umbel has set up logging and the settings want it."""
    if app.conf.worker_redirect_stdouts and log.is_set_up():
        return printed.as_log_lines(app.conf.worker_redirect_stdouts_level)
    return contextlib.nullcontext()
