"""The web application of the question about pages, and the task that its worker runs."""

from __future__ import annotations

import os
import time

from starlette.applications import Starlette
from starlette.routing import Mount

from bench.pages import FILE, SECRET
from umbel import progress
from umbel.app import Umbel
from umbel.contrib.starlette import Progress

app = Umbel("bench.site", broker=f"sqlite:///{os.environ.get(FILE, 'nowhere.db')}", set_as_current=False)
tasks = Progress(app, secret=SECRET)
site = Starlette(routes=[Mount("/umbel", routes=tasks.routes)])


@app.task(name="bench.speaks")
def speaks(times: int, pause: float) -> None:
    """Say the time, so often."""
    for number in range(times):
        progress.set(number, times, f"{time.monotonic():.6f}")
        time.sleep(pause)
