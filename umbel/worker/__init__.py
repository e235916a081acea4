"""The worker: ``run`` starts a node and its runners."""

from umbel.worker.start import run

__all__ = ["run"]
