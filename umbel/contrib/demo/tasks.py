"""The tasks behind the demo's buttons."""

from __future__ import annotations

import csv
import io
import os
import random
import time
from pathlib import Path
from typing import Any

from umbel.app import Umbel
from umbel.contrib.demo.images import halve, make_pictures
from umbel.errors import Retry, TaskCancelled, UserError

app = Umbel("umbel.contrib.demo.tasks")
app.conf.task_default_queue = "umbel.demo"  # on a server that others use, neither runs what is the other's

PICTURES = 200

PACE = float(os.environ.get("DEMO_PACE", "1"))
"""How many times as long as usual everything takes."""

CUSTOMERS = "name,mail\nAda,ada@example.org\nGrace,grace@example.org\nBarbara\nAlan,alan@example.org\n"


def work(seconds: float) -> None:
    """Take so long, as something real would."""
    time.sleep(seconds * PACE)


@app.task(bind=True)
def report(self: Any) -> dict[str, int]:
    """A report in three stages."""
    self.progress.stages(("Gather figures", 2), ("Compute", 6), ("Write the report", 2))
    total = 0
    with self.progress.stage("Gather figures", weight=2):
        for _ in self.track(range(20), unit="sources"):
            work(0.05)
            total += random.randint(1, 9)
    with self.progress.stage("Compute", weight=6):
        for _ in self.track(range(1200), unit="rows"):
            work(0.003)
    with self.progress.stage("Write the report", weight=2):
        work(1.0)
    facts = {"pages": 12, "sum": total}
    self.progress.finish("The report has 12 pages", links=[("Open the report", "/report")])
    return facts


@app.task(bind=True)
def import_customers(self: Any, text: str = CUSTOMERS) -> int:
    """Customers from a CSV file, one row of which is bad."""
    rows = list(csv.reader(io.StringIO(text)))
    for number, row in enumerate(self.track(rows, unit="rows", message="Importing"), 1):
        work(0.4)
        if len(row) != 2:
            raise UserError(f"Row {number} is malformed: it has {len(row)} field(s), and must have 2")
    return self.progress.finish(f"{len(rows)} lines are imported", value=len(rows))  # type: ignore[no-any-return]


@app.task(bind=True)
def resize(self: Any, count: int = PICTURES) -> int:
    """Real picture files, one by one."""
    folder = Path(os.environ.get("UMBEL_HOME", ".")) / "pictures" / self.request.id
    with self.progress.stage("Make the pictures", weight=1):
        paths = make_pictures(folder, min(count, PICTURES), side=24)
    with self.progress.stage("Resize them", weight=9):
        for path in self.track(paths, unit="pictures"):
            halve(path, folder / "small")
            work(0.03)
    return self.progress.finish(f"{len(paths)} pictures are smaller now", value=len(paths))  # type: ignore[no-any-return]


@app.task
def quiet() -> str:
    """Says nothing at all."""
    work(4.0)
    return "done"


@app.task(bind=True, max_retries=4)
def flaky(self: Any) -> str:
    """Fails twice, and succeeds then."""
    for _ in self.track(range(10), unit="steps", message="Asking a service that is not always there"):
        work(0.08)
        if self.request.retries < 2 and random.random() < 0.3:
            break
    if self.request.retries < 2:
        raise Retry(countdown=max(2.0, 2 * PACE))  # as long as it takes to be read
    return self.progress.finish("The service has answered", value="ok")  # type: ignore[no-any-return]


@app.task(bind=True)
def stubborn(self: Any) -> None:
    """Needs some time to stop when it is asked to."""
    try:
        for _ in self.track(range(600), unit="steps", message="Writing to a machine that must be left in order"):
            work(0.1)
    except TaskCancelled:
        work(3.0)
        raise
