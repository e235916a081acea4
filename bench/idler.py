"""The app of the soak: one task that does nothing, on the file that the environment names."""

from __future__ import annotations

from umbel import Umbel

app = Umbel("soak")


@app.task
def idle() -> None:
    """Do nothing."""
