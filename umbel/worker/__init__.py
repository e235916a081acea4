"""The worker: ``run`` starts a node and its runners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from umbel.worker.start import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    """Load ``run`` on first use: a runner needs none of the node's modules, nor their memory."""
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from umbel.worker.start import run

    return run
