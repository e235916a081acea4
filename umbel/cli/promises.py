"""Says which promises a choice of broker, results and settings does not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from umbel.app import Umbel

_DOCKER_PATIENCE = 10.0
"""Seconds between Docker's SIGTERM and its SIGKILL, unless it is told otherwise."""


def not_kept(app: Umbel) -> list[str]:
    """One sentence for each promise that this app's settings give up, with what would keep it."""
    conf = app.conf
    broker = _scheme(conf.broker_url)
    stores = {broker, _scheme(app.result_url or "")}
    found = []
    if "sqlite" in stores and conf.sqlite_synchronous != "FULL":
        found.append("a power cut may lose the last moments (sqlite_synchronous=FULL prevents it)")
    if broker == "memory":
        found.append("memory:// is this process alone: no other one can send to it, and what waits ends with it")
    if not conf.task_acks_late:
        found.append("a crash loses the tasks that are running (task_acks_late=True runs them again)")
    return found


def docker_warning(grace: float) -> str | None:
    """What to say of a grace, in seconds, in a container; None where it is short enough."""
    if grace <= _DOCKER_PATIENCE:
        return None
    return (
        f"Docker kills a container {_DOCKER_PATIENCE:g} s after asking it to stop, running tasks get {grace:g} s: "
        f"set stop_grace_period to {grace + 5:g}s in compose, or --stop-timeout with docker run"
    )


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()
