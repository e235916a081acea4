"""The worker: ``run`` starts a node and its runners."""

from umbel.worker.node import run

__all__ = ["run"]
