"""Chords that a Celery client composed, their parts on workers of both kinds: joined once, wherever the last one is.

Messages are on Redis or on RabbitMQ, results on Redis.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.chord_ends import ChordEnds
from tests.worker.process import wait_until
from tools.rabbitmq import RabbitMQ
from tools.redis_server import RedisServer
from umbel.app import Umbel

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module", params=["redis-celery56", "redis-celery57", "rabbitmq-celery57"])
def ends(
    request: pytest.FixtureRequest, interpreter: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ChordEnds]:
    """A worker and a client of each, ready."""
    server, version = request.param.split("-")
    running: RabbitMQ | RedisServer = request.getfixturevalue(server)
    redis: RedisServer = request.getfixturevalue("redis")
    made = ChordEnds(tmp_path_factory.mktemp(request.param), running.url, redis, interpreter(version))
    try:
        for program in [made.start("celery"), made.start("umbel")]:
            program.ready()
        yield made
    finally:
        made.close()


SETUP = """
def on(signature, end):
    return signature.set(queue=queues[end])
def told(result):
    value = result.get(timeout=60, propagate=False)
    return [result.state, value if result.state == "SUCCESS" else [type(value).__name__, str(value)]]
"""


def asked(ends: ChordEnds, code: str) -> Any:
    return ends.celery(f"queues = {ends.queues!r}\n{SETUP}\n{code}")


PLACES = [
    ("umbel", "umbel", "umbel"),
    ("umbel", "celery", "umbel"),
    ("celery", "umbel", "celery"),
    ("umbel", "umbel", "celery"),
    ("celery", "celery", "umbel"),
]


@pytest.mark.parametrize("places", PLACES, ids=lambda places: "-".join(each[0] for each in places))
def test_the_body_gets_the_results_in_order_wherever_the_parts_run(ends: ChordEnds, places: tuple[str, ...]) -> None:
    tag = uuid.uuid4().hex
    first, second, body = places
    code = f"""
header = [on(add.s(n, n), ({first!r}, {second!r})[n % 2]) for n in range(8)]
result = chord(header)(on(gathered.s({tag!r}), {body!r}))
[told(result), result.id, [each.id for each in result.parent.results]]
"""
    (state, value), body_id, ids = asked(ends, code)
    assert (state, value) == ("SUCCESS", [[2 * n for n in range(8)], body_id, body])
    wait_until(lambda: ends.count(f"gathered {tag}"), "the body runs")
    states = [json.loads(ends.redis.command("GET", f"celery-task-meta-{id}"))["status"] for id in ids]
    assert states == ["SUCCESS"] * 8
    assert ends.count(f"gathered {tag}") == 1
    assert ends.unexpiring() == []


@pytest.mark.parametrize(("bad", "good"), [("umbel", "celery"), ("celery", "umbel"), ("umbel", "umbel")])
def test_a_part_that_fails_fails_the_body_and_calls_its_error_callback(ends: ChordEnds, bad: str, good: str) -> None:
    tag = uuid.uuid4().hex
    code = f"""
body = on(gathered.s({tag!r}), "umbel").on_error(on(failed_old.s(), {good!r}))
header = [on(add.s(1, 1), {good!r}), on(fails.s(), {bad!r}), on(add.s(2, 2), {good!r})]
result = chord(header)(body)
[told(result), result.id, result.parent.results[1].id]
"""
    (state, error), body_id, failed_id = asked(ends, code)
    assert state == "FAILURE"
    assert error == ["ChordError", f"Dependency {failed_id} raised KeyError('a', 1)"]
    ends.noted(f"failed_old {body_id} {good}")
    assert ends.count(f"gathered {tag}") == 0


def test_chains_groups_and_chords_in_a_header_are_counted_as_celery_counts(ends: ChordEnds) -> None:
    """The chain that ends in a group goes on at umbel's: with that beside the rest, Celery 5.6 alone never ends."""
    code = """
u, c = "umbel", "celery"
header = [
    chain(on(add.s(1, 1), u), on(add.s(10), c)),
    group(on(add.s(2, 2), u), on(add.s(3, 3), c)),
    chord([on(add.s(1, 0), u), on(add.s(2, 0), c)], on(total.s(), u)),
    chain(on(add.s(0, 0), u), group(on(add.s(100), c), on(add.s(200), u))),
]
result = chord(header)(chain(on(total.s(), u), on(add.s(0.5), c)))
told(result)
"""
    assert asked(ends, code) == ["SUCCESS", 12 + 4 + 6 + 3 + 100 + 200 + 0.5]


def test_a_group_at_the_end_of_a_chain_in_a_header_is_a_list_in_what_the_body_gets(ends: ChordEnds) -> None:
    code = """
end = "umbel"
header = [chain(on(add.s(0, 0), end), group(on(add.s(1), end), on(add.s(2), end))), on(add.s(1, 1), end)]
told(chord(header)(on(gathered.s("nested"), end)))
"""
    state, value = asked(ends, code)
    assert (state, value[0]) == ("SUCCESS", [[1, 2], 2])


@pytest.mark.parametrize("end", ["umbel", "celery"])
def test_a_chord_in_a_chain_gets_what_is_before_it_and_gives_to_what_is_after_it(ends: ChordEnds, end: str) -> None:
    other = "celery" if end == "umbel" else "umbel"
    code = f"""
u, c = {end!r}, {other!r}
parts = group(on(add.s(10), u), on(add.s(20), c), chain(on(add.s(1), c), on(add.s(2), u)))
result = chain(on(add.s(1, 1), u), parts, on(total.s(), u), on(add.s(1000), c))()
told(result)
"""
    assert asked(ends, code) == ["SUCCESS", 12 + 22 + 5 + 1000]


def test_a_chord_after_a_chord(ends: ChordEnds) -> None:
    code = """
result = chain(
    group(on(add.s(n, n), "umbel") for n in range(3)), on(total.s(), "umbel"),
    group(on(add.s(n), "celery") for n in range(2)), on(total.s(), "umbel"), on(add.s(0.5), "celery"),
)()
told(result)
"""
    assert asked(ends, code) == ["SUCCESS", 6 + 7 + 0.5]


def test_when_the_head_of_a_chain_in_a_header_fails_the_chord_is_told(ends: ChordEnds) -> None:
    code = """
header = [chain(on(fails.s(), "umbel"), on(add.s(1), "celery"), on(add.s(1), "umbel")), on(add.s(1, 1), "celery")]
result = chord(header)(chain(on(total.s(), "umbel"), on(add.s(1), "umbel")))
told(result)
"""
    state, error = asked(ends, code)
    assert (state, error[0]) == ("FAILURE", "ChordError")
    assert "KeyError('a', 1)" in error[1]


def test_a_part_that_is_tried_again_or_has_no_task_is_counted_by_its_end(ends: ChordEnds) -> None:
    code = """
again_there = on(again.s(queues["umbel"]), "umbel")
done = chord([again_there, on(add.s(1, 1), "celery")])(on(gathered.s("again"), "umbel"))
nobody = on(celery.signature("deeds.nobody", app=app), "umbel")
missing = chord([nobody, on(add.s(1, 1), "umbel")])(on(total.s(), "umbel"))
[told(done), told(missing)]
"""
    (state, value), (missing, error) = asked(ends, code)
    assert (state, value[0]) == ("SUCCESS", [["umbel", 1], 2])
    assert (missing, error[0]) == ("FAILURE", "ChordError")
    assert "NotRegistered" in error[1]


def test_a_part_whose_worker_is_killed_after_it_was_counted_is_joined_once(ends: ChordEnds) -> None:
    """The store has the last part, and its worker dies before it has sent the body."""
    tag, queue = uuid.uuid4().hex, f"killed-{uuid.uuid4().hex}"
    with ends.halting():
        worker = ends.start("umbel", queue)
    worker.ready()
    code = f"""
header = [add.s(n, n).set(queue={queue!r} if n == 2 else queues["celery"]) for n in range(3)]
result = chord(header)(on(gathered.s({tag!r}), "celery"))
result.id
"""
    body_id = asked(ends, code)
    ends.noted("halted after joining")
    worker.kill()
    assert ends.count(f"gathered {tag}") == 0
    other = ends.start("umbel", queue)
    assert asked(ends, "told(result)") == ["SUCCESS", [[0, 2, 4], body_id, "celery"]]
    assert ends.count(f"gathered {tag}") == 1
    other.kill()


def test_many_parts_on_both_kinds_are_joined_once_each(ends: ChordEnds) -> None:
    """Enough for the last two parts to end at the same moment on two ends, now and then."""
    tag = uuid.uuid4().hex
    code = f"""
both = ("umbel", "celery")
def begun(m):
    return chord([on(add.s(m, n), both[(m + n) % 2]) for n in range(4)])(on(gathered.s({tag!r}), both[m % 2]))
results = [begun(m) for m in range(25)]
[told(result)[1][0] for result in results]
"""
    assert asked(ends, code) == [[m + n for n in range(4)] for m in range(25)]
    assert ends.count(f"gathered {tag}") == 25
    assert ends.unexpiring() == []


def test_a_part_that_is_taken_back_fails_the_body(ends: ChordEnds) -> None:
    queue = f"revoked-{uuid.uuid4().hex}"
    code = f"""
result = chord([add.s(1, 1).set(queue={queue!r}), on(add.s(2, 2), "celery")])(on(total.s(), "umbel"))
[result.id, result.parent.results[0].id]
"""
    _, part = asked(ends, code)
    with Umbel("other", broker=ends.url, backend=ends.redis.url, set_as_current=False) as client:
        client.revoke(part)
    worker = ends.start("umbel", queue)
    state, error = asked(ends, "told(result)")
    assert (state, error[0]) == ("FAILURE", "ChordError")
    assert f"Dependency {part} raised TaskRevokedError" in error[1]
    worker.kill()
