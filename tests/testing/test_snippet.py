"""The shortest test of a task, as it is written in a terminal."""

from __future__ import annotations

from typing import Any

DEFINED = """
from umbel import Umbel
app = Umbel("tasks")

@app.task
def add(x: int, y: int) -> int:
    return x + y
"""

TEST = """
# 7 testing
from umbel.testing import running
def test_add():
    with running(app) as t:                                # memory broker, real serialiser, virtual clock
        r = add.options(countdown=7200).delay(2, 2)
        t.advance(hours=2); t.drain()
        assert r.get() == 4
"""


def test_it_runs_as_it_stands() -> None:
    names: dict[str, Any] = {"__name__": "tasks"}
    exec(DEFINED + TEST, names)
    names["test_add"]()
