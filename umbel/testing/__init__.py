"""What tests of tasks need: ``running`` runs them in the test, ``working`` beside it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umbel.testing.background import BackgroundWorker, working
    from umbel.testing.history import LOST, Ran, Waiting
    from umbel.testing.rehearsal import Rehearsal, running

__all__ = ["LOST", "BackgroundWorker", "Ran", "Rehearsal", "Waiting", "running", "working"]

_HOMES = {
    "BackgroundWorker": "umbel.testing.background",
    "LOST": "umbel.testing.history",
    "Ran": "umbel.testing.history",
    "Rehearsal": "umbel.testing.rehearsal",
    "Waiting": "umbel.testing.history",
    "running": "umbel.testing.rehearsal",
    "working": "umbel.testing.background",
}
"""The module that defines each public name: the pytest plugin is loaded with pytest, and must bring nothing else."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value
