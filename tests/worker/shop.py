"""The tasks that the worker tests run; copied beside each test's broker file."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.worker import shop_progress, shop_shared  # noqa: F401  their tasks are this app's too
from tests.worker.diary import HERE, note, wait_for
from umbel import Backoff, Ignore, Reject, Retry, Task, Umbel
from umbel.errors import SoftTimeLimitExceeded

app = Umbel("shop")


@app.task
def add(x: int, y: int) -> int:
    note(f"add {x} {y}")
    return x + y


@app.task
def hold(name: str, until: str = "go") -> str:
    note(f"start {name} {os.getpid()}")
    wait_for(until)
    note(f"end {name}")
    return name


@app.task(acks_late=False)
def hold_early(name: str) -> str:
    note(f"start {name} {os.getpid()}")
    wait_for("go")
    note(f"end {name}")
    return name


@app.task(reject_on_worker_lost=False)
def hold_once(name: str) -> str:
    note(f"start {name} {os.getpid()}")
    wait_for("go")
    return name


@app.task
def grip() -> str:
    """Hold the interpreter's lock without a break, until the shop lets go."""
    pipe = HERE / "grip"
    if not pipe.exists():
        os.mkfifo(pipe)
    note(f"start grip {os.getpid()}")
    ctypes.PyDLL(None).open(os.fsencode(pipe), os.O_RDONLY)
    note("end grip")
    return "let go"


@app.task
def nothing() -> None: ...


@app.task
async def fetch(name: str) -> str:
    await asyncio.sleep(0.01)
    return f"{name} {id(asyncio.get_running_loop())}"


@app.task
def exit_process() -> None:
    note("start exit")
    os._exit(3)


@app.task
def read_nowhere() -> None:
    """End by a segmentation fault."""
    note("start exit")
    ctypes.string_at(0)


@app.task
def overflow() -> None:
    """Use up the stack below Python."""
    note("start exit")
    sys.setrecursionlimit(10**9)
    deep: list[Any] = []
    for _ in range(10**6):
        deep = [deep]
    repr(deep)


@app.task
def slay() -> None:
    """Take the whole worker down: the node, the fork server and the runner."""
    note("start slay")
    server = os.getppid()
    node = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (node, server, os.getpid()):
        os.kill(pid, signal.SIGKILL)


@app.task
def raises(kind: str) -> Any:
    """Raise what is awkward to handle."""
    if kind == "exit":
        sys.exit("leaving")
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "memory":
        raise MemoryError
    if kind == "deep":
        return raises.run(kind)

    class Local(BaseException):
        def __init__(self, one: object, two: object) -> None:
            super().__init__(one, two)

        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    raise Local(object(), lambda: None)


@app.task
def returns(kind: str) -> Any:
    return {"object": object(), "nan": float("nan"), "bytes": b"\xff\x00"}[kind]


@app.task
def ignores() -> None:
    raise Ignore


@app.task(bind=True)
def rejects(self: Task[..., Any], requeue: bool) -> str:
    note("reject")
    if requeue and self.request.delivery_info["redelivered"]:
        return "second time"
    raise Reject("not today", requeue=requeue)


@app.task(bind=True)
def reports(self: Task[..., Any]) -> str:
    self.update_state(state="HALFWAY", meta={"done": 5})
    wait_for("go")
    return "done"


@app.task(track_started=True)
def tracked() -> str:
    wait_for("go")
    return "done"


@app.task(bind=True)
def who(self: Task[..., Any]) -> dict[str, Any]:
    request = self.request
    return {
        "id": request.id,
        "args": list(request.args),
        "retries": request.retries,
        "hostname": request.hostname,
        "root_id": request.root_id,
        "parent_id": request.parent_id,
        "headers": request.headers,
        "queue": request.delivery_info["routing_key"],
        "priority": request.delivery_info["priority"],
    }


@app.task
def sends() -> str:
    return who.delay().id


@app.task
def asks(queue: str) -> Any:
    """Send a call, and look from inside this task until it has ended."""
    result = who.apply_async(queue=queue)
    while not result.ready():
        time.sleep(0.005)
    return result.result["parent_id"]


@app.task(trail=False)
def sends_unseen() -> str:
    return who.delay().id


@app.task
def spawns() -> None:
    """Leave a child behind that would outlive the task."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    note(f"child {child.pid}")
    wait_for("go")


class Handled(Task[..., Any]):
    """A task class with every handler."""

    name = "shop.handled"

    def run(self, fail: bool) -> str:
        note("run")
        if fail:
            raise ValueError("as told")
        return "value"

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        note("before_start")

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        note(f"on_success {retval}")
        raise RuntimeError("a handler's own failure changes nothing")

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: str | None) -> None:
        note(f"on_failure {exc!r}")

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: str | None) -> None:
        note(f"after_return {status}")


app.register_task(Handled())


class Fatal(Task[..., Any]):
    """A task that takes its process down, and whose handler does, too."""

    name = "shop.fatal"

    def run(self) -> None:
        note("start fatal")
        os._exit(3)

    def on_failure(self, exc: BaseException, task_id: str, args: Any, kwargs: Any, einfo: str | None) -> None:
        note("on_failure")
        os._exit(4)


app.register_task(Fatal())


@app.task(bind=True, max_retries=2)
def stubborn(self: Task[..., Any], works_at: int) -> str:
    note(f"try {self.request.retries}")
    if self.request.retries < works_at:
        raise self.retry(exc=ConnectionError("gone"), countdown=0.05)
    return f"worked at {self.request.retries}"


@app.task(retry=Backoff(first=0.01, times=2, on=(ConnectionError,)))
def flaky() -> None:
    note("flaky")
    raise ConnectionError("gone")


@app.task(bind=True, acks_late=False)
def stubborn_early(self: Task[..., Any]) -> str:
    if self.request.retries < 1:
        raise Retry(countdown=0.01)
    return "worked"


@app.task(bind=True, max_retries=1)
def waits_to_retry(self: Task[..., Any]) -> str:
    if not self.request.retries:
        raise Retry(countdown=3600, exc=ValueError("not yet"))
    return "never"


@app.task(time_limit=0.5)
def overruns(how: str) -> str:
    """Run beyond the hard limit, in a way that is hard to end."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        note(f"child {child.pid}")
    note(f"start overruns {os.getpid()}")
    if how == "spin":
        while True:
            pass
    if how == "grip":
        ctypes.PyDLL(None).usleep(600_000_000)
    time.sleep(600)
    return "never"


@app.task(soft_time_limit=0.2)
def softly(how: str) -> str:
    """Run beyond the soft limit: caught, let through, or swallowed."""
    if how == "uncaught":
        time.sleep(600)
    try:
        time.sleep(600)
    except SoftTimeLimitExceeded:
        note("caught")
    if how == "swallowed":
        time.sleep(600)
    return "tidied up"


@app.task(time_limit=0.1, acks_on_failure_or_timeout=False)
def never_in_time() -> None:
    note("start late")
    wait_for("never")


@app.task(time_limit=0.1, acks_late=False, acks_on_failure_or_timeout=False)
def early_and_never_in_time() -> None:
    note("start late")
    wait_for("never")


@app.task(time_limit=0.3, acks_on_failure_or_timeout=False)
def again_after_limit() -> str:
    note("start again")
    if len([line for line in (HERE / "diary").read_text().splitlines() if line == "start again"]) < 2:
        time.sleep(600)
    return "second time"


@app.task
def pid() -> int:
    return os.getpid()


@app.task
def swells(megabytes: int) -> int:
    """Keep memory for good."""
    kept.append(bytearray(os.urandom(1024) * 1024 * megabytes))
    return os.getpid()


kept: list[bytearray] = []
