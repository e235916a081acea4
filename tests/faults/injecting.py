"""The scenario of calls that fail on both sides of a broker, for each broker alike."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tests.faults.alone import Worker
from tests.faults.checker import Ledger, ask
from tests.faults.scenarios import Enter
from umbel.app import Umbel
from umbel.ports import Broker, ResultBackend
from umbel.testing.faulty import Faults, inject

TASKS = 150
RATE = 0.2
PAUSE = 0.004
SENT_LOOSE = ("early_again",)
"""What follows a task that was acknowledged early is sent by itself: when the answer is lost, it is sent again."""

SENT_APART = ("early_again", "again", "tired")
"""Where messages and results are two stores, all that follows is sent before its cause is settled."""

COMES_BACK = ("returns",)
"""What a worker gives back at its end is marked as redelivered, so that this task's first attempt is not made."""


def size(app: Umbel) -> int:
    """Messages of the default queue that nobody has been handed."""

    async def ask_for(broker: Broker, backend: ResultBackend) -> int:
        return await broker.size(app.conf.task_default_queue)

    return ask(app, ask_for)


def fail_on_both_sides(
    seed: int,
    ledger: Ledger,
    make_app: Callable[[], Umbel],
    may_repeat: Collection[str],
    enter: Enter,
    left_over: Callable[[Umbel], int] = size,
) -> None:
    """Send and work while one call in five fails, before or after it took effect: every promise holds."""
    outside, inside = Faults(seed, RATE, pause=PAUSE), Faults(1000 + seed, RATE, pause=PAUSE)
    client, server = make_app(), make_app()
    inject(client, outside)
    inject(server, inside)
    with Worker(server) as worker:
        ledger.send_mixed(client, seed, TASKS)
        for _ in range(5):
            ledger.send_batch(client, "plain", 10)
        ledger.wait()
    assert worker.status == 0
    while left_over(ledger.watcher):  # what was sent twice may still wait when everything has its end
        with Worker(make_app()):
            ledger.wait(lambda: not left_over(ledger.watcher))
    enter(ledger.account(sum(outside.struck.values()) + sum(inside.struck.values())))
    assert inside.struck["settle", "before"]
    assert inside.struck["settle", "after"]
    assert ledger.refused
    ledger.check(may_repeat=may_repeat)
    for app in (ledger.watcher, client, server):
        app.close()
