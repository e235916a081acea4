"""Prints, as JSON, the messages and results that the installed Celery makes: the golden bytes of tests/wire.

    .venvs/celery56-…/bin/python tools/capture_celery.py > tests/wire/golden/celery-5.6.3.json
    .venvs/celery56-…/bin/python tools/capture_celery.py amqp://… queue

Runs inside an environment that has Celery, not umbel. The first form needs nothing but this process: the messages are
taken raw from kombu's memory transport, the results from the cache backend in memory. The second sends the messages to
a server, where tools/capture_amqp.py takes them, and prints the name of each.
"""

from __future__ import annotations

import datetime
import decimal
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import celery  # type: ignore[import-not-found, import-untyped, unused-ignore]
import kombu  # type: ignore[import-not-found, import-untyped, unused-ignore]
from billiard import exceptions as billiard  # type: ignore[import-not-found, import-untyped, unused-ignore]
from celery import exceptions, signals, states
from celery.app.task import Context  # type: ignore[import-not-found, import-untyped, unused-ignore]

UTC = datetime.timezone.utc  # noqa: UP017 - as old as the oldest Python that Celery runs on
ETA = datetime.datetime(2100, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NAIVE = datetime.datetime(2100, 1, 2, 3, 4, 5)  # noqa: DTZ001 - what a user may pass
EXPIRES = datetime.datetime(2100, 1, 3, tzinfo=UTC)
TYPED = (
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    NAIVE,
    datetime.date(2026, 1, 2),
    datetime.time(3, 4, 5),
    decimal.Decimal("1.50"),
    uuid.UUID(int=5),
    b"abc",
    b"\xff\x00",
)


def make_app(url: str = "memory://", queue: str = "celery") -> Any:
    app = celery.Celery("tasks", broker=url, backend="cache+memory://")
    app.conf.task_default_queue = queue
    app.conf.update(result_extended=True, accept_content=["json", "msgpack", "yaml", "pickle"])

    @app.task(name="tasks.add")  # type: ignore[untyped-decorator, unused-ignore]
    def add(x: Any = 0, y: Any = 0, z: Any = None) -> None:
        """Never run here."""

    app.finalize()
    return app


def number(n: int) -> str:
    """The id of the task numbered ``n``."""
    return str(uuid.UUID(int=n))


def sender(n: int) -> dict[str, Any]:
    """What is random or of this machine in a message, fixed."""
    return {"task_id": number(n), "reply_to": number(999)}


def calls(app: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name and making of each message."""
    add = app.tasks["tasks.add"]

    def call(args: Any = (1, 2), kwargs: Any = None, **options: Any) -> Callable[[], Any]:
        return lambda: add.apply_async(args, kwargs, **{**sender(1), **options})

    yield "plain", call()
    yield "kwargs", call((), {"x": 1, "y": {"deep": [1, 2.5, None, True]}, "z": "Grüße \u2028 \x07"})
    yield "typed", call((list(TYPED),))
    yield "times", call(eta=ETA, expires=EXPIRES)
    yield "naive eta", call(eta=NAIVE)
    yield (
        "options",
        call(
            priority=7,
            shadow="shown",
            time_limit=10,
            soft_time_limit=5.5,
            ignore_result=True,
            headers={"user": {"deep": [1, None]}, "when": datetime.date(2026, 1, 2)},
            root_id=number(2),
            parent_id=number(3),
            group_id=number(4),
            group_index=5,
            retries=2,
            argsrepr="(hidden)",
            kwargsrepr="{hidden}",
        ),
    )
    yield "properties", call(delivery_mode=1, MessageGroupId="group", app_id="app")
    yield "long", call(("x" * 3000, list(range(500))))
    yield "links", call(link=[add.s(5), add.si(1, 2)], link_error=add.s(z=1).set(queue="errors"))
    for serializer in ("msgpack", "yaml", "pickle"):
        yield serializer, call(([1, 2.5, "é", b"\xff"],), {"z": None}, serializer=serializer)
    for compression in ("gzip", "bzip2", "lzma", "brotli", "zstd"):
        if compression in COMPRESSIONS:
            yield compression, call(("x" * 200,), compression=compression)
    yield "stamped", lambda: stamped(add).apply_async(**sender(1))
    yield "chain", lambda: celery.chain(member(add, 1), member(add, 2), member(add, 3)).apply_async()
    yield "group", lambda: celery.group(member(add, 1), member(add, 2), task_id=number(7)).apply_async()
    yield "chord", lambda: chord(add).apply_async(task_id=number(3))
    yield (
        "protocol 1",
        lambda: old(app, call(eta=ETA, expires=EXPIRES, time_limit=10, soft_time_limit=5, link=add.s(3))),
    )


COMPRESSIONS = {name.rpartition("/")[2].removeprefix("x-") for name in kombu.compression.encoders()} | {"bzip2"}


def member(add: Any, n: int) -> Any:
    return add.s(n, 2).set(**sender(n))


def stamped(add: Any) -> Any:
    signature = add.s(1, 2)
    signature.stamp(colour=["red", "blue"])
    return signature


def chord(add: Any) -> Any:
    return celery.chord(celery.group(member(add, 1), member(add, 2), task_id=number(7)), member(add, 3))


def old(app: Any, send: Callable[[], Any]) -> None:
    app.conf.task_protocol = 1
    app.__dict__.pop("amqp", None)
    send()


def take(app: Any) -> list[dict[str, Any]]:
    """Everything in the queue, as kombu put it there."""
    taken = []
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        while channel._size("celery"):
            # As text, the way a broker that keeps text gets it.
            taken.append(json.loads(kombu.utils.json.dumps(channel._get("celery"))))
    for message in taken:
        message["properties"]["delivery_tag"] = number(998)
        if "origin" in message["headers"]:
            message["headers"]["origin"] = "gen1@client"
    return taken


def outcomes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and arguments of ``store_result`` of each result."""
    yield "success", {"result": {"sum": 3, "when": TYPED[0]}, "state": states.SUCCESS}
    yield "nothing", {"result": None, "state": states.SUCCESS}
    yield "started", {"result": {"pid": 1, "hostname": "w@host"}, "state": states.STARTED}
    yield "custom state", {"result": {"done": 1}, "state": "PROGRESS"}
    errors = {
        "ValueError": ValueError("a", 1),
        "KeyError": KeyError("k"),
        "OSError": OSError(2, "gone"),
        "typed arguments": ValueError(TYPED[0], {1, 2}, b"\xff"),
        "NotRegistered": exceptions.NotRegistered("tasks.gone"),
        "TaskRevokedError": exceptions.TaskRevokedError("revoked"),
        "TimeoutError": exceptions.TimeoutError("late"),
        "Ignore": exceptions.Ignore("why"),
        "Reject": exceptions.Reject("why", requeue=True),
        "SecurityError": exceptions.SecurityError("no"),
        "WorkerLostError": billiard.WorkerLostError("lost"),
        "EncodeError": kombu.exceptions.EncodeError("no word"),
        "ContentDisallowed": kombu.exceptions.ContentDisallowed("no"),
        "MaxRetriesExceededError": exceptions.MaxRetriesExceededError("enough"),
    }
    for name, error in errors.items():
        yield name, {"result": error, "state": states.FAILURE, "traceback": f"Traceback\n{name}\n"}
    yield "retry", {"result": ValueError("again"), "state": states.RETRY, "traceback": "Traceback\n"}
    yield "revoked", {"result": exceptions.TaskRevokedError("expired"), "state": states.REVOKED}


def store(app: Any, name: str, arguments: dict[str, Any]) -> str:
    """The bytes that the backend keeps of this result, as text."""
    request = Context(
        id=number(1),
        task="tasks.add",
        args=[1, 2],
        kwargs={"z": None},
        hostname="w@host",
        retries=0,
        group=number(4) if name == "success" else None,
        parent_id=number(3) if name == "success" else None,
        delivery_info={"routing_key": "celery"},
    )
    if name == "success":
        request.children.append(app.AsyncResult(number(2)))
    app.backend.store_result(number(1), request=request, **arguments)
    key = app.backend.get_key_for_task(number(1))
    kept = app.backend.get(key)
    app.backend.delete(key)
    return kept if isinstance(kept, str) else kept.decode()


def moments(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: moments(each) for name, each in value.items()}
    return datetime.datetime(2026, 1, 2, tzinfo=UTC) if type(value) is datetime.date else value


def send_all(app: Any) -> list[str]:
    """Send every message; gives the names of their calls, in the order in which they were sent."""
    names: list[str] = []
    sent: list[Any] = []
    publish = kombu.Producer.publish

    def lasting(*args: Any, expiration: Any = None, **kwargs: Any) -> Any:
        """Seventy years to go are more than the server takes, and AMQP knows no dates, but moments."""
        return publish(*args, **{**kwargs, "headers": moments(kwargs["headers"])})

    def told(headers: Any = None, **rest: Any) -> None:
        sent.append(headers)
        if "origin" in headers:
            headers["origin"] = "gen1@client"

    kombu.Producer.publish = lasting
    signals.before_task_publish.connect(told)
    for name, send in calls(app):
        before = len(sent)
        send()
        names += [name] * (len(sent) - before)
    return names


def main() -> None:
    if len(sys.argv) > 1:
        json.dump(send_all(make_app(*sys.argv[1:])), sys.stdout)
        return
    app = make_app()
    messages = {}
    for name, send in calls(app):
        send()
        messages[name] = take(app)
    results = {name: store(app, name, arguments) for name, arguments in outcomes()}
    versions = {"celery": celery.__version__, "kombu": kombu.__version__}
    json.dump({**versions, "messages": messages, "results": results}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
