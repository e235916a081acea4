"""The shop's tasks for pools that run many at once: ``shop.a…`` does as a coroutine what ``shop.…`` does."""

import asyncio
import os
import time
from contextvars import ContextVar
from typing import Any

from tests.worker.diary import HERE, await_file, note, wait_for
from umbel import current_task, shared_task
from umbel.errors import SoftTimeLimitExceeded

tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


async def hold(name: str, until: str = "go") -> str:
    note(f"start {name} {os.getpid()}")
    await await_file(until)
    note(f"end {name}")
    return name


ahold = shared_task(name="shop.ahold")(hold)
ahold_early = shared_task(name="shop.ahold_early", acks_late=False)(hold)
ahold_once = shared_task(name="shop.ahold_once", reject_on_worker_lost=False)(hold)


@shared_task(name="shop.araises")
async def araises(kind: str) -> None:
    raise {"exit": SystemExit, "interrupt": KeyboardInterrupt}[kind]("leaving")


@shared_task(name="shop.asoftly", soft_time_limit=0.2)
async def asoftly(how: str) -> str:
    if how == "uncaught":
        await asyncio.sleep(600)
    try:
        async with asyncio.timeout(600):
            await asyncio.gather(asyncio.sleep(600), asyncio.sleep(600))
    except SoftTimeLimitExceeded:
        note("caught")
    if how == "swallowed":
        await asyncio.sleep(600)
    await asyncio.sleep(0.01)
    return "tidied up"


@shared_task(name="shop.softly_busy", soft_time_limit=0.2)
def softly_busy(how: str) -> str:
    """As ``softly``, without a call that blocks."""
    try:
        while True:
            time.sleep(0.001)
    except SoftTimeLimitExceeded as error:
        if how == "uncaught":
            raise
        note(f"caught {error}")
    return "tidied up"


@shared_task(name="shop.aoverruns")
async def aoverruns(how: str) -> None:
    """Run beyond the hard limit: obey the cancellation, refuse it, or keep the loop from everything."""
    note(f"start aoverruns {os.getpid()}")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        note("cancelled")
        if how == "obeys":
            raise
    if how == "blocks":
        wait_for("never")
    await asyncio.sleep(600)


@shared_task(name="shop.aagain_after_limit", acks_on_failure_or_timeout=False)
async def aagain_after_limit() -> str:
    note("start again")
    if len([line for line in (HERE / "diary").read_text().splitlines() if line == "start again"]) < 2:
        await asyncio.sleep(600)
    return "second time"


@shared_task(name="shop.looks_round", bind=True)
def looks_round(self: Any, name: str) -> list[Any]:
    """Who it is, seen again and again while others run beside it."""
    before = tenant.get()
    tenant.set(name)
    note(f"looks {name}")
    seen = set()
    for _ in range(20):
        time.sleep(0.002)
        seen.add((str(self.request.id), str(current_task.request.id), tenant.get()))
    wait_for("go")
    return [before, *sorted(seen)]


@shared_task(name="shop.alooks_round", bind=True)
async def alooks_round(self: Any, name: str) -> list[Any]:
    before = tenant.get()
    tenant.set(name)
    note(f"looks {name}")
    seen = set()
    for _ in range(20):
        await asyncio.sleep(0.002)
        seen.add((str(self.request.id), str(current_task.request.id), tenant.get()))
    await await_file("go")
    return [before, *sorted(seen)]


@shared_task(name="shop.hears")
def hears(task_id: str) -> None:
    """An error callback that is sent."""
    note(f"hears {task_id}")


@shared_task(name="shop.hears_all")
def hears_all(request: Any, error: BaseException, trace: str) -> None:
    """An error callback that is called where its task has failed."""
    note(f"hears all of {request.id}")
