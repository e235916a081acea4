"""Programs that tests run as processes of their own: ``python -m tests.stores.sqlite.actors NAME URL …``.

Each writes lines that the test waits for, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid

from umbel.backends.sqlite import SqliteBackend
from umbel.brokers.sqlite import SqliteBroker
from umbel.errors import StoreError
from umbel.model import ACK, Envelope, Route, SealedRecord, Settlement
from umbel.ports import Mark
from umbel.stores.sqlite.locks import FileLock


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


async def told_to_end() -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True).start()
    await ended.wait()


async def hold(url: str, count: str, runners: str = "0") -> None:
    """Claim ``count`` deliveries and settle none; before, that many runners take their locks."""
    async with SqliteBroker(url, {}) as broker:
        consumer = await broker.consume(["q"], int(count))
        for number in range(int(runners)):
            start_runner(consumer.lifeline(number))
        held = 0
        async for batch in consumer:
            held += len(batch)
            if held == int(count):
                break
        say("holding", os.getpid())
        await told_to_end()
        await consumer.close()


def start_runner(lifeline: str) -> None:
    """A process in a session of its own: killing the node's group leaves it alone."""
    command = [sys.executable, "-m", "tests.stores.sqlite.actors", "run", lifeline]
    runner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert runner.stdout is not None
    assert runner.stdout.readline() == "locked\n"
    say("runner", runner.pid)


def run(path: str) -> None:
    """Hold a runner's lifeline until killed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    fcntl.lockf(descriptor, fcntl.LOCK_EX)
    say("locked")
    threading.Event().wait()


async def work(url: str, prefetch: str = "16") -> None:
    """Acknowledge everything, with a record and one line ``done ID`` for each."""
    async with SqliteBroker(url, {}) as broker:
        consumer = await broker.consume(["q"], int(prefetch))
        say("ready")

        async def close_when_told() -> None:
            await told_to_end()
            await consumer.close()

        closing = asyncio.create_task(close_when_told())
        async for batch in consumer:
            await consumer.settle(
                [Settlement(d, ACK, (), SealedRecord(d.envelope.id, "SUCCESS", b"%d" % os.getpid())) for d in batch]
            )
            say("\n".join(f"done {d.envelope.id}" for d in batch))
        await closing


def publish(url: str, count: str, size: str = "1") -> None:
    """Publish ``count`` messages, ``size`` a call, with one line ``sent ID`` for each once it is accepted."""
    broker = SqliteBroker(url, {})
    for _ in range(0, int(count), int(size)):
        envelopes = [Envelope("plain", str(uuid.uuid4()), b"head", b"body" * 50) for _ in range(int(size))]
        broker.publish_now([(Route("q"), envelope) for envelope in envelopes])
        say("\n".join(f"sent {envelope.id}" for envelope in envelopes))


def lock(path: str) -> None:
    """Hold the write lock of a database until told to end."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say("locked")
    sys.stdin.read()
    connection.execute("ROLLBACK")
    connection.close()


def monopolise(path: str) -> None:
    """Have a database for oneself, readers included, until told to end."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    say("locked")
    sys.stdin.read()
    connection.execute("ROLLBACK")
    connection.close()


def intrude(url: str) -> None:
    """Try to publish as a user who may not write there, and say what comes of it."""
    with tempfile.TemporaryDirectory() as folder:
        # The other user may not reach the installed modules: a first use imports them all.
        SqliteBroker(f"sqlite:///{folder}/umbel.db", {}).publish_now([(Route("q"), Envelope("plain", "id", b"", b""))])
    broker = SqliteBroker(url, {})
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        broker.publish_now([(Route("q"), Envelope("plain", "id", b"", b""))])
    except StoreError as error:
        say(error)


def multiply(url: str, count: str) -> None:
    """Publish ``count`` messages here, in a thread, and in each of three forked children, all at the same time."""
    broker = SqliteBroker(url, {})

    def work(name: str) -> None:
        for number in range(int(count)):
            broker.publish_now([(Route("q"), Envelope("plain", f"{name}-{number}", b"", b"x" * 500))])

    work("before")
    thread = threading.Thread(target=work, args=("thread",))
    thread.start()
    children = []
    for child in range(3):
        if not (pid := os.fork()):
            work(f"child{child}")
            os._exit(0)
        children.append(pid)
    work("parent")
    thread.join()
    say(*statuses(children))


def statuses(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


async def fork_while_consuming(url: str) -> None:
    """Fork while a consumer's thread is at work; the child publishes, the parent goes on consuming."""
    async with SqliteBroker(url, {}) as broker:
        consumer = await broker.consume(["q"], 4)
        children: list[int] = []
        done = 0
        async for batch in consumer:
            await consumer.settle([Settlement(delivery, ACK) for delivery in batch])
            done += len(batch)
            if len(children) < 5:
                if not (pid := os.fork()):
                    broker.publish_now([(Route("q"), Envelope("plain", f"child-{done}", b"", b""))])
                    os._exit(0)
                children.append(pid)
            if done == 105:
                break
        say(*statuses(children))
        await consumer.close()


def overwrite(path: str) -> None:
    """Write zeros over the beginning of a file."""
    with open(path, "r+b") as file:
        file.write(bytes(64))
    say("done")


def try_lock(path: str) -> None:
    """Say whether the lock on a file can be had."""
    say("refused" if FileLock.take(path) is None else "locked")


def lock_and_fork(path: str) -> None:
    """Hold a lock; let a forked child ask for it and end."""
    lock = FileLock.take(path)
    assert lock is not None
    if not (pid := os.fork()):
        say("child", "refused" if FileLock.take(path) is None else "locked")
        lock.release(remove=True)
        os._exit(0)
    os.waitpid(pid, 0)
    sys.stdin.read()


async def count(url: str, times: str, *keys: str) -> None:
    """Add 1 to each mark, so many times, as soon as told to begin; then claim the mark ``first``."""
    backend = SqliteBackend(url, {})
    await backend.get_marks(keys)
    say("ready")
    sys.stdin.readline()
    for _ in range(int(times)):
        await backend.add_to_marks(keys, 1, time.time() + 600)
    mine = await backend.put_marks_if_absent([Mark("first", str(os.getpid()), None)])
    say("first" if mine else "later")


async def put(url: str, *keys: str) -> None:
    """Put these marks, one by one."""
    broker = SqliteBroker(url, {})
    for key in keys:
        await broker.put_marks([Mark(key, str(os.getpid()), None)])
    say("put")


async def fork_while_watching(url: str) -> None:
    """Fork while marks are watched; the child puts one and watches by itself, the parent goes on watching."""
    backend = SqliteBackend(url, {})
    watch = backend.watch_marks("m:")
    say(len(await anext(watch)))
    if not (pid := os.fork()):
        os._exit(0 if asyncio.run(put_and_watch(url)) == ["m:child"] else 1)
    say(*[mark.key for mark in await anext(watch)])
    say(*statuses([pid]))


async def put_and_watch(url: str) -> list[str]:
    backend = SqliteBackend(url, {})
    await backend.put_marks([Mark("m:child", "", None)])
    return [mark.key for mark in await anext(backend.watch_marks("m:"))]


ACTORS = {
    "count": count,
    "put": put,
    "fork_while_watching": fork_while_watching,
    "try_lock": try_lock,
    "lock_and_fork": lock_and_fork,
    "hold": hold,
    "run": run,
    "work": work,
    "publish": publish,
    "lock": lock,
    "monopolise": monopolise,
    "intrude": intrude,
    "multiply": multiply,
    "fork_while_consuming": fork_while_consuming,
    "overwrite": overwrite,
}


if __name__ == "__main__":
    ending = ACTORS[sys.argv[1]](*sys.argv[2:])  # type: ignore[operator]
    if asyncio.iscoroutine(ending):
        asyncio.run(ending)
