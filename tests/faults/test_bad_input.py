"""Messages that are broken in every way, in front of a real worker: each is a dead letter with its reason, it lives."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.faults.broken import ROWS, messages, write_rows
from tests.faults.site import Site, memory, tree_of, until
from umbel.model import Route

pytestmark = pytest.mark.slow

QUEUE = "celery"


def reasons(site: Site) -> dict[object, str]:
    """Why each dead letter died, by id."""
    return {task_id: str(reason) for task_id, reason in site.query("SELECT id, reason FROM dead")}


def story(site: Site, task_id: str) -> str:
    """The reason of its death, or its failure."""
    result = site.app.result(task_id)
    return reasons(site).get(task_id) or f"{result.state} {result.result!r}"


def answer(site: Site) -> int:
    return int(site.get(site.app.send_task("poison.answer")))


def test_every_broken_message_is_a_dead_letter_or_a_failure_with_its_reason_and_the_worker_lives(site: Site) -> None:
    worker = site.worker("-c", "2")
    assert answer(site) == 42
    before, held = tree_of(worker), memory(worker.tree())
    broken = list(messages())
    site.app.broker.publish_now([(Route(QUEUE), each.envelope) for each in broken])  # type: ignore[attr-defined]
    until(lambda: not site.left(), what=site.left)
    assert answer(site) == 42
    wrong = []
    dead = reasons(site)
    for each in broken:
        task_id = each.envelope.id
        told = story(site, task_id)
        buried = task_id in dead
        if not (buried or site.app.result(task_id).state == "FAILURE") or each.named not in told:
            wrong.append(f"{each.what}: {told[:200]}")
    assert not wrong, "\n".join(wrong)
    assert tree_of(worker) == before, "no process had to be replaced"
    assert memory(worker.tree()) < 1.4 * held
    kept = {task_id: (head, body) for task_id, head, body in site.query("SELECT id, head, body FROM dead")}
    for each in broken:
        if each.envelope.id in kept:
            assert kept[each.envelope.id] == (each.envelope.head, each.envelope.body), each.what


def test_rows_that_a_foreign_hand_has_written_harm_nobody(site: Site) -> None:
    worker = site.worker("-c", "2")
    assert answer(site) == 42
    before = tree_of(worker)
    with closing(sqlite3.connect(site.path, timeout=60)) as connection:
        write_rows(connection, QUEUE)
    until(lambda: not site.left(), what=lambda: (site.query("SELECT * FROM messages"), worker.text()[-2000:]))
    assert len(site.query("SELECT 1 FROM dead")) == len(ROWS)
    assert answer(site) == 42
    assert tree_of(worker) == before


@pytest.mark.parametrize("megabytes", [10, 50])
def test_large_messages_come_through_and_their_memory_is_given_back(site: Site, megabytes: int) -> None:
    worker = site.worker("-c", "2")
    assert answer(site) == 42
    before = memory(worker.tree())
    size = megabytes * 1_000_000
    for _ in range(4):
        assert site.get(site.app.send_task("poison.swallow", ["x" * size])) == size
    for _ in range(100):  # the last of the large ones is let go of when others have come
        assert answer(site) == 42
    until(lambda: memory(worker.tree()) < before + megabytes, what=lambda: (before, memory(worker.tree())))
    assert worker.process.poll() is None
