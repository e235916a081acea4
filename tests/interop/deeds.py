"""The tasks of both ends, the same code for each: Celery's with INTEROP_END=celery, umbel's with INTEROP_END=umbel."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

END = os.environ["INTEROP_END"]
QUEUE = os.environ["INTEROP_QUEUE"]
FOLDER = Path(os.environ["INTEROP_FOLDER"])

App: Any
if END == "umbel":
    from umbel import Umbel

    App = Umbel
else:
    from celery import Celery  # type: ignore[import-not-found, import-untyped, unused-ignore]

    App = Celery

app = App("deeds", broker=os.environ["INTEROP_BROKER"], backend=os.environ["INTEROP_BACKEND"])
app.conf.update(
    accept_content=["json", "msgpack", "yaml", "pickle"],
    result_accept_content=["json", "msgpack", "yaml", "pickle"],
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
)
if END == "celery":
    app.conf.update(json.loads(os.environ["INTEROP_CONF"]))


def deed(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Declare a task named after its function."""

    def declare(body: Callable[..., Any]) -> Any:
        return app.task(name=f"deeds.{body.__name__}", **options)(body)

    return declare


def note(line: str) -> None:
    """One more line in the diary that both ends share."""
    with (FOLDER / "diary").open("a") as diary:
        diary.write(f"{line}\n")


@deed()
def add(x: Any, y: Any) -> Any:
    return x + y


@deed()
def echo(value: Any) -> Any:
    return value


@deed(bind=True)
def look(self: Any, *args: Any, **kwargs: Any) -> Any:
    """What arrived, and where."""
    request = self.request
    names = ("id", "retries", "root_id", "parent_id", "group", "group_index", "correlation_id")
    return {
        **{name: getattr(request, name) for name in names},
        "end": END,
        "args": list(args),
        "kwargs": kwargs,
        "mine": (request.headers or {}).get("mine"),
        "priority": request.delivery_info["priority"],
    }


@deed(bind=True)
def step(self: Any, trail: Any, name: str = "") -> Any:
    """The trail with one more step: which end, which parent."""
    return [*trail, [END, name, self.request.id, self.request.parent_id, self.request.root_id]]


@deed()
def fails(*args: Any) -> None:
    raise KeyError("a", 1)


@deed(bind=True)
def again(self: Any, queue: str) -> Any:
    """Ends on its second attempt, which is sent to ``queue``.

    Not at once: Celery writes RETRY after it has sent, over what the other end may have written meanwhile. Nor a second
    later: Celery 5.6 looks anew each second, over rpc:// too, and misses what comes in that moment.
    """
    if not self.request.retries:
        note(f"first {self.request.id} {END}")
        raise self.retry(exc=ValueError("not yet"), countdown=1.5, queue=queue)
    return [END, self.request.retries]


@deed(bind=True)
def once(self: Any, tries: int = 1) -> Any:
    """Ends on the last of its tries."""
    note(f"once {self.request.id} {self.request.retries} {END}")
    if self.request.retries + 1 < tries:
        raise self.retry(countdown=0.3)
    return END


@deed(bind=True)
def halfway(self: Any, gate: str) -> str:
    self.update_state(state="HALF", meta={"done": 50})
    await_file(gate)
    return "whole"


@deed(bind=True)
def counts(self: Any, gate: str, way: str) -> str:
    """Three of ten steps, said in the ``way`` of umbel or of Celery."""
    if way == "umbel":
        self.progress.set(3, 10, "Reading")
    else:
        self.update_state(state="PROGRESS", meta={"current": 3, "total": 10, "phase": "Reading"})
    await_file(gate)
    return "all ten"


@deed(bind=True)
def hold(self: Any, gate: str) -> str:
    note(f"hold {gate} {END} {os.getpid()}")
    await_file(gate)
    return END


@deed()
def tell(*args: Any) -> None:
    note(f"tell {list(args)!r} {END}")


@deed()
def failed_old(task_id: str) -> None:
    note(f"failed_old {task_id} {END}")


@deed()
def failed_new(request: Any, error: Any, trace: Any, more: str) -> None:
    note(f"failed_new {request.id} {error!r} {'Traceback' in str(trace)} {more} {END}")


def await_file(name: str) -> None:
    """Return when the test has made this file."""
    end = time.monotonic() + 60
    while not (FOLDER / name).exists():
        if time.monotonic() > end:
            raise TimeoutError(name)
        time.sleep(0.01)
