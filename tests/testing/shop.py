"""Declares tasks for tests."""

from __future__ import annotations

from typing import Any

from umbel.app import Umbel
from umbel.task import Task


def declare(app: Umbel, body: Any, **options: Any) -> Task[..., Any]:
    """A task of ``body``, named after it."""
    make: Any = app.task(name=f"shop.{body.__name__}", **options)
    task: Task[..., Any] = make(body)
    return task


def add(x: int, y: int) -> int:
    """The task that everybody knows."""
    return x + y
