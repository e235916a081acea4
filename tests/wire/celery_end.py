"""Runs inside an environment of Celery: a worker on kombu's memory transport that says what it made of our bytes.

Reads from stdin a JSON object: ``messages``, envelopes as kombu keeps them in a queue, and ``results``, by task id the
bytes of stored results as text. Prints what Celery's worker saw of each message, what its backend then kept, and what
its client reads of each result.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import celery  # type: ignore[import-not-found, import-untyped, unused-ignore]
import kombu  # type: ignore[import-not-found, import-untyped, unused-ignore]
from celery.contrib.testing.worker import start_worker  # type: ignore[import-not-found, import-untyped, unused-ignore]

app = celery.Celery("tasks", broker="memory://", backend="cache+memory://")
app.conf.update(
    accept_content=["json", "msgpack", "yaml", "pickle"],
    result_extended=True,
    worker_hijack_root_logger=False,
)
seen: dict[str, dict[str, Any]] = {}


@app.task(name="tasks.look", bind=True)  # type: ignore[untyped-decorator, unused-ignore]
def look(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Tell what arrived; return the last argument, or raise it if it is asked for."""
    request = self.request
    names = ("id", "root_id", "parent_id", "group", "group_index", "retries", "timelimit", "eta", "expires", "shadow")
    more = ("origin", "ignore_result", "reply_to", "correlation_id", "argsrepr", "kwargsrepr", "stamps", "headers")
    seen[request.id] = {name: getattr(request, name) for name in (*names, *more)}
    seen[request.id].update(args=args, kwargs=kwargs, priority=request.delivery_info["priority"])
    if kwargs.get("fail"):
        raise KeyError(*args)
    return args[-1] if args else None


def put(message: dict[str, Any]) -> None:
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        app.amqp.queues["celery"](channel).declare()
        channel._put("celery", message)


def kept(task_id: str, seconds: float = 60) -> str:
    """What the backend keeps of the task, once it has ended."""
    key = app.backend.get_key_for_task(task_id)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = app.backend.get(key)
        if value is not None:
            return value if isinstance(value, str) else value.decode()
        time.sleep(0.01)
    raise TimeoutError(f"no result of {task_id}; seen: {sorted(seen)}")


def told(task_id: str, payload: str) -> dict[str, Any]:
    """What Celery's client makes of a result."""
    app.backend.set(app.backend.get_key_for_task(task_id), payload)
    result = app.AsyncResult(task_id)
    value = result.result
    if isinstance(value, BaseException):
        value = [type(value).__module__, type(value).__qualname__, list(value.args)]
    names = ("state", "traceback", "name", "args", "kwargs", "worker", "retries", "queue")
    fields = {name: getattr(result, name) for name in names}
    children = [child.id for child in result.children or []]
    return {**fields, "value": value, "children": children, "date_done": result.date_done.isoformat()}


def main() -> None:
    given = kombu.utils.json.loads(sys.stdin.read())
    results = {task_id: told(task_id, payload) for task_id, payload in given["results"].items()}
    for message in given["messages"]:
        put(message)
    with start_worker(app, perform_ping_check=False, pool="solo", loglevel="ERROR"):
        records = {
            message["properties"]["correlation_id"]: kept(message["properties"]["correlation_id"])
            for message in given["messages"]
        }
    sys.stdout.write(kombu.utils.json.dumps({"seen": seen, "records": records, "results": results}))


if __name__ == "__main__":
    main()
