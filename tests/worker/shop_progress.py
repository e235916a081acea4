"""Tasks of the shop that say how far they are."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.worker.diary import note, wait_for
from umbel import Retry, UserError, progress, shared_task, track
from umbel.errors import TaskCancelled

EVER = 10_000_000


@shared_task(name="shop.counts")
def counts(n: int, at: int) -> int:
    """Count ``n`` things, and wait for the word when ``at`` are done."""
    for number in track(range(n), unit="things", message="Counting"):
        if number == at:
            wait_for("go")
    return progress.finish(f"{n} things", value=n, links=[("Look", "/things")])


@shared_task(name="shop.in_stages", bind=True)
def in_stages(self: Any) -> str:
    with self.progress.stage("Read", weight=1):
        self.progress.log("reading")
        wait_for("read")
    with self.progress.stage("Write", weight=3):
        for number in self.track(range(10)):
            if number == 5:
                wait_for("half")
    return "done"


@shared_task(name="shop.says_why")
def says_why(ref: bool = False) -> None:
    progress.set(3, 10)
    if ref:
        raise ValueError("the password is swordfish")
    raise UserError("row 11 is malformed")


@shared_task(name="shop.tries_again", bind=True, max_retries=4)
def tries_again(self: Any) -> int:
    progress.set(5 if self.request.retries else 7, 10)
    if not self.request.retries:
        raise Retry(countdown=2)
    wait_for("go")
    return 1


@shared_task(name="shop.says_nothing")
def says_nothing(until: str = "go") -> None:
    note("start quiet")
    wait_for(until)


@shared_task(name="shop.never_ends")
def never_ends(name: str) -> None:
    note(f"start {name}")
    try:
        for _ in track(range(EVER)):
            time.sleep(0.01)
    except TaskCancelled:
        note(f"stopped {name}")
        raise


@shared_task(name="shop.anever_ends")
async def anever_ends(name: str) -> None:
    note(f"start {name}")
    try:
        async for _ in track(range(EVER)):
            await asyncio.sleep(0.01)
    except TaskCancelled:
        note(f"stopped {name}")
        raise


@shared_task(name="shop.tells_the_old_way", bind=True)
def tells_the_old_way(self: Any) -> None:
    for number in range(200):
        self.update_state(state="PROGRESS", meta={"current": number + 1, "total": 200, "mine": True})
    wait_for("go")


@shared_task(name="shop.has_children", bind=True)
def has_children(self: Any, n: int) -> list[str]:
    return [child.delay(number).id for number in range(n)]


@shared_task(name="shop.child")
def child(number: int) -> int:
    if number == 0:
        raise UserError("not this one")
    if number == 1:
        wait_for("go")
    return number


@shared_task(name="shop.hurries")
def hurries(n: int) -> int:
    """Say something ``n`` times as quickly as it can."""
    for _ in track(range(n)):
        progress.message("still")
    return n
