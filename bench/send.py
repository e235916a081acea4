"""Asks how many calls a second are sent one by one: by one caller, by threads, by coroutines."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial

from bench.harness import Answer, Bar, Bench, Figures, column
from bench.peers import OTHERS, PEERS, RAW

UMBEL, TASKIQ, BARE = (PEERS["rabbitmq"][name] for name in ("umbel", "Taskiq", RAW))
CELERY = "bench.peers.celery_server"
CONFIRMED, HURRIED = "Celery, confirmed", "Celery, unconfirmed"
THREADS, COROUTINES = 16, 100


def ask(bench: Bench) -> list[Answer]:
    """The rate of single calls; each is in the database, or at the server, when it returns."""
    if bench.broker == "redis":
        return on_redis(bench)
    return on_sqlite(bench) if bench.broker == "sqlite" else [*one_by_one(bench), *at_once(bench)]


def on_sqlite(bench: Bench) -> list[Answer]:
    """One caller beside another, in a file."""
    count = bench.much(5_000, 200)
    peers = {name: partial(single, bench, module, count) for name, module in PEERS["sqlite"].items()}
    rates = column(bench.in_turns("send one by one", peers), "rate")
    return [Answer(question="send one by one", unit="calls/s", values=rates, bars=[Bar("≥", 0.5, "Huey")])]


def on_redis(bench: Bench) -> list[Answer]:
    """One caller, who waits for the server's answer each time; and many in one process."""
    count, crowd_count = bench.much(3_000, 100), bench.much(8_000, 400)
    peers = PEERS["redis"]
    modules = {"umbel": peers["umbel"], "Celery": CELERY, **OTHERS["redis"]}
    runs = bench.in_turns("send one by one", {name: partial(single, bench, m, count) for name, m in modules.items()})
    answers = [
        Answer(question="send one by one", unit="calls/s", values=column(runs, "rate"), bars=[Bar("≥", 3, "Celery")]),
        Answer(question="send one by one, CPU of the caller", unit="µs/call", values=column(runs, "cpu")),
    ]
    threads = {"umbel": peers["umbel"], "Celery": CELERY}
    coroutines = {"umbel": peers["umbel"], **{name: peers[name] for name in ("Taskiq", "SAQ", "arq")}}
    for what, verb, width, those in (
        (f"send in {THREADS} threads", "threads", THREADS, threads),
        (f"send in {COROUTINES} coroutines", "coroutines", COROUTINES, coroutines),
    ):
        crowds = {name: partial(crowd, bench, module, verb, crowd_count, width) for name, module in those.items()}
        rates = column(bench.in_turns(what, crowds), "rate")
        answers.append(Answer(question=what, unit="calls/s", values=rates))
    return answers


def one_by_one(bench: Bench) -> list[Answer]:
    """One caller that waits for the server's word each time, beside those that do and do not."""
    count = bench.much(3_000, 100)
    modules = {
        "umbel": UMBEL,
        CONFIRMED: f"{CELERY}:confirm",
        HURRIED: CELERY,
        "Dramatiq, confirmed": f"{PEERS['rabbitmq']['Dramatiq']}:confirm",
        "Taskiq": TASKIQ,
        RAW: BARE,
    }
    runs = bench.in_turns("send one by one", {name: partial(single, bench, m, count) for name, m in modules.items()})
    told = "send one by one"
    return [
        Answer(question=told, unit="calls/s", values=column(runs, "rate"), bars=[Bar("≥", 1.5, CONFIRMED)]),
        Answer(question=f"{told}, p50", unit="ms", values=column(runs, "p50"), bars=[Bar("≤", 1.3, RAW)]),
        Answer(question=f"{told}, CPU of the caller", unit="µs/call", values=column(runs, "cpu")),
    ]


def at_once(bench: Bench) -> list[Answer]:
    """Many callers in one process, each of which waits; Celery's has threads alone, and no word from the server."""
    count = bench.much(8_000, 400)
    celery = partial(crowd, bench, CELERY, "threads", count, THREADS)
    alone = partial(crowd, bench, CELERY, "threads", count, 1)
    hurried = {f"{HURRIED}, {THREADS} threads": celery, f"{HURRIED}, 1 thread": alone}
    bar = Bar("≥", 3, "Celery's best, unconfirmed", tuple(hurried))
    answers = []
    for what, verb, width, others in (
        (f"send in {THREADS} threads", "threads", THREADS, {}),
        (f"send in {COROUTINES} coroutines", "coroutines", COROUTINES, {"Taskiq": TASKIQ, RAW: BARE}),
    ):
        modules = {"umbel": UMBEL, **others}
        mine: dict[str, Callable[[], Figures]] = {
            name: partial(crowd, bench, module, verb, count, width) for name, module in modules.items()
        }
        if RAW not in mine:  # it has no threads: so many at once on one loop
            mine[f"{RAW}, {width} coroutines"] = partial(crowd, bench, BARE, "coroutines", count, width)
        rates = column(bench.in_turns(what, {**mine, **hurried}), "rate")
        answers.append(Answer(question=what, unit="calls/s", values=rates, bars=[bar]))
    return answers


def single(bench: Bench, module: str, count: int) -> Figures:
    """One process that sends, and no worker."""
    with bench.at_home(module, results=False) as contestant:
        seconds, cpu = contestant.ask("send", count)
        return {
            "rate": count / sum(seconds),
            "p50": statistics.median(seconds) * 1e3,
            "cpu": cpu / count * 1e6,
        }


def crowd(bench: Bench, module: str, verb: str, count: int, width: int) -> Figures:
    """One process with so many callers in it, and no worker."""
    with bench.at_home(module, results=False) as contestant:
        return {"rate": count / float(contestant.ask(verb, count, width))}
