"""Messages that are broken in every way, in front of a real worker: each is a dead letter with its reason, it lives."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.abroad import Abroad
from tests.faults.broken import ROWS, STRANGE, Broken, messages, write_rows
from tests.faults.checker import ask
from tests.faults.on_redis import OnRedis
from tests.faults.site import Site, memory, tree_of, until
from tools.rabbitmq import RabbitMQ
from umbel.model import Envelope, Route
from umbel.ports import Broker, DeadLetters, ResultBackend

pytestmark = pytest.mark.slow

QUEUE = "celery"

ON_A_SERVER = (pytest.mark.server,)
FORMS = {"sqlite": "plain", "rabbitmq": "amqp", "redis": "kombu"}
"""The layout in which messages travel, by broker."""

PLACES = [pytest.param(each, marks=() if each == "sqlite" else ON_A_SERVER) for each in FORMS]


@pytest.fixture
def anywhere(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site on the broker of the parameter."""
    kind = request.param
    if kind == "rabbitmq":
        place: Site = Abroad(tmp_path, request.getfixturevalue("rabbitmq"))
    elif kind == "redis":
        place = OnRedis(tmp_path, request.getfixturevalue("redis"))
    else:
        place = Site(tmp_path)
    yield place
    place.close()


Grave = tuple[str, bytes, bytes]
"""Reason, head and body of a dead letter."""


def graves(site: Site) -> list[tuple[str, Grave]]:
    """All of them, with their ids."""

    async def read(broker: Broker, backend: ResultBackend) -> list[tuple[str, Grave]]:
        assert isinstance(broker, DeadLetters)
        letters = await broker.dead_letters()
        return [(each.envelope.id, (each.reason, each.envelope.head, each.envelope.body)) for each in letters]

    return ask(site.watcher, read)


def graves_of_strangers(site: Site) -> list[Grave]:
    """Those of messages that have no id."""
    return [grave for task_id, grave in graves(site) if not task_id]


def answer(site: Site) -> int:
    return int(site.get(site.app.send_task("poison.answer")))


def put(site: Site, envelopes: Sequence[Envelope]) -> None:
    """Have the broker take them as they are."""

    async def publish(broker: Broker, backend: ResultBackend) -> None:
        await broker.publish([(Route(site.app.conf.task_default_queue), each) for each in envelopes])

    ask(site.watcher, publish)


@pytest.mark.parametrize("anywhere", PLACES, indirect=True)
def test_every_broken_message_is_a_dead_letter_or_a_failure_with_its_reason_and_the_worker_lives(
    anywhere: Site, request: pytest.FixtureRequest
) -> None:
    site, form = anywhere, FORMS[request.node.callspec.params["anywhere"]]
    worker = site.worker("-c", "2")
    assert answer(site) == 42
    before, held = tree_of(worker), memory(worker.tree())
    broken = list(messages(form))
    put(site, [each.envelope for each in broken])
    dead: dict[str, Grave] = {}

    def story(each: Broken) -> str:
        """The reason of its death, or its failure."""
        known = dead.get(each.envelope.id)
        result = site.app.result(each.envelope.id)
        return known[0] if known is not None else f"{result.state} {result.result!r}" if result.ready() else ""

    def all_told() -> bool:
        nonlocal dead
        dead = dict(graves(site))
        return all(story(each) for each in broken)

    until(all_told, what=lambda: [each.what for each in broken if not story(each)])
    assert answer(site) == 42
    wrong = [f"{each.what}: {told[:200]}" for each in broken if each.named not in (told := story(each))]
    assert not wrong, "\n".join(wrong)
    assert not [each.what for each in broken if site.app.result(each.envelope.id).state == "SUCCESS"]
    assert tree_of(worker) == before, "no process had to be replaced"
    assert memory(worker.tree()) < 1.4 * held
    for each in broken:
        if each.envelope.id in dead:
            _, head, body = dead[each.envelope.id]
            assert what_was_sent(form, head, body) == what_was_sent(form, each.envelope.head, each.envelope.body)


def what_was_sent(form: str, head: bytes, body: bytes) -> tuple[object, object]:
    """Head and body; on Redis without the address that a broker adds."""
    if form != "kombu":
        return head, body
    entry = json.loads(head)
    return entry["headers"], entry["body"]


@pytest.mark.server
def test_messages_of_other_programs_become_dead_letters_with_the_reason(tmp_path: Path, rabbitmq: RabbitMQ) -> None:
    site = Abroad(tmp_path, rabbitmq)
    try:
        worker = site.worker("-c", "2")
        assert answer(site) == 42
        before, known = tree_of(worker), len(graves_of_strangers(site))
        put(site, [Envelope("amqp", "", head, body) for head, body in STRANGE.values()])
        until(lambda: len(graves_of_strangers(site)) == known + len(STRANGE), what=lambda: graves_of_strangers(site))
        assert all(reason for reason, _, _ in graves_of_strangers(site)[-len(STRANGE) :])
        assert answer(site) == 42
        assert tree_of(worker) == before
    finally:
        site.close()


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


@pytest.mark.parametrize("anywhere", PLACES, indirect=True)
@pytest.mark.parametrize("megabytes", [10, 50])
def test_large_messages_come_through_and_their_memory_is_given_back(anywhere: Site, megabytes: int) -> None:
    site = anywhere
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
