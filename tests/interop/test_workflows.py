"""What Celery composed runs to its end on workers of both kinds, mixed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.ends import ON_RABBITMQ, Ends
from tests.worker.process import wait_until

pytestmark = [pytest.mark.server, pytest.mark.slow]


def test_a_chain_goes_to_and_fro_between_the_two_kinds_of_workers(ends: Ends) -> None:
    u, c = ends.queues["umbel"], ends.queues["celery"]
    places = [u, c, u, u, c]
    code = f"""
steps = [step.s([], "0").set(queue={places[0]!r})]
steps += [step.s(str(n)).set(queue=place) for n, place in enumerate({places!r}) if n]
result = chain(*steps).apply_async()
ids = [result.id]
at = result
while at.parent is not None:
    at = at.parent
    ids.append(at.id)
[ids[::-1], result.get(timeout=60)]
"""
    ids, trail = ends.celery(code)
    assert [each[:2] for each in trail] == [
        ["umbel", "0"],
        ["celery", "1"],
        ["umbel", "2"],
        ["umbel", "3"],
        ["celery", "4"],
    ]
    assert [each[2] for each in trail] == ids
    assert [each[3] for each in trail] == [None, *ids[:-1]]
    assert {each[4] for each in trail} == {ids[0]}


def test_callbacks_run_on_either_end_and_the_parent_names_its_children(ends: Ends) -> None:
    u, c = ends.queues["umbel"], ends.queues["celery"]
    code = f"""
links = [tell.s("linked").set(queue={u!r}), tell.s("linked").set(queue={c!r}), tell.si("fixed").set(queue={u!r})]
result = add.apply_async((2, 3), queue={u!r}, link=links)
[result.get(timeout=60), [child.id for child in result.children]]
"""
    value, children = ends.celery(code)
    assert value == 5
    assert len(set(children)) == 3
    wanted = {"tell [5, 'linked'] umbel", "tell [5, 'linked'] celery", "tell ['fixed'] umbel"}
    wait_until(lambda: wanted <= set(ends.diary()), f"{wanted}")


@pytest.mark.parametrize("end", ["umbel", "celery"])
def test_error_callbacks_are_called_in_both_styles(ends: Ends, end: str) -> None:
    """The old style as a task, on whichever end; the new one in the place of the failed task, on umbel's."""
    u = ends.queues["umbel"]
    code = f"""
links = [failed_old.s().set(queue={ends.queues[end]!r}), failed_new.s("more").set(queue={ends.queues[end]!r})]
result = fails.apply_async((1,), queue={u!r}, link_error=links)
result.get(timeout=60, propagate=False)
[result.id, result.state]
"""
    task_id, state = ends.celery(code)
    assert state == "FAILURE"
    ends.noted(f"failed_old {task_id} {end}")
    ends.noted(f"failed_new {task_id} KeyError('a', 1) True more umbel")


def test_a_group_of_ten_runs_on_both(ends: Ends) -> None:
    code = f"""
queues = [{ends.queues["umbel"]!r}, {ends.queues["celery"]!r}]
result = group(look.s(n).set(queue=queues[n % 2]) for n in range(10)).apply_async()
[result.id, result.get(timeout=60)]
"""
    group, seen = ends.celery(code)
    assert [each["end"] for each in seen] == ["umbel", "celery"] * 5
    assert [(each["args"], each["group"], each["group_index"]) for each in seen] == [([n], group, n) for n in range(10)]


def test_a_group_at_the_end_of_a_chain_gets_the_result_of_what_is_before_it(ends: Ends) -> None:
    u, c = ends.queues["umbel"], ends.queues["celery"]
    code = f"""
members = group(look.s("a").set(queue={u!r}), look.s("b").set(queue={c!r}), look.si("c").set(queue={u!r}))
result = chain(add.s(1, 2).set(queue={u!r}), members).apply_async()
[result.id, result.get(timeout=60)]
"""
    group, seen = ends.celery(code)
    assert [each["args"] for each in seen] == [[3, "a"], [3, "b"], ["c"]]
    assert [each["end"] for each in seen] == ["umbel", "celery", "umbel"]
    assert {each["group"] for each in seen} == {group}


def test_a_chain_inside_a_group_inside_a_chain_runs_to_its_end(ends: Ends) -> None:
    u, c = ends.queues["umbel"], ends.queues["celery"]
    code = f"""
inner = chain(add.s(10).set(queue={c!r}), add.s(100).set(queue={u!r}))
result = chain(add.s(1, 2).set(queue={u!r}), group(inner, add.s(1000).set(queue={u!r}))).apply_async()
result.get(timeout=60)
"""
    assert ends.celery(code) == [113, 1003]


def test_when_a_task_of_a_chain_fails_everybody_who_waits_for_the_rest_is_told(ends: Ends) -> None:
    u, c = ends.queues["umbel"], ends.queues["celery"]
    code = f"""
rest = [fails.s().set(queue={u!r}), add.s(1).set(queue={u!r}), add.s(1).set(queue={c!r})]
result = chain(add.s(1, 2).set(queue={c!r}), *rest).apply_async()
def error_of(result):
    error = result.get(timeout=60, propagate=False, follow_parents=False) if result is not None else None
    return repr(error)
[[error_of(result), result.state], [error_of(result.parent), result.parent.state]]
"""
    assert ends.celery(code) == [["KeyError('a', 1)", "FAILURE"]] * 2


def test_error_callbacks_of_a_chain_hear_of_the_task_that_failed(ends: Ends) -> None:
    u = ends.queues["umbel"]
    code = f"""
result = chain(add.s(1, 2).set(queue={u!r}), fails.s().set(queue={u!r}), add.s(1).set(queue={u!r})).apply_async(
    link_error=failed_old.s().set(queue={u!r}))
[result.id, result.parent.id, result.parent.parent.id]
"""
    ids: list[Any] = ends.celery(code)
    ends.noted(f"failed_old {ids[1]} umbel")
    assert not [line for line in ends.diary() if line.split()[1] in (ids[0], ids[2])]


def test_options_of_a_link_hold(ends: Ends) -> None:
    u, c = ends.queues["umbel"], ends.queues["celery"]
    code = f"""
first = add.s(1, 2).set(queue={u!r})
options = dict(countdown=0.5, serializer="msgpack", compression="gzip", headers={{"mine": 7}}, priority=3)
following = look.s(more=1).set(queue={c!r}, **options)
result = chain(first, following).apply_async()
time.sleep(2.5)  # Celery's client misses a reply that comes just as one of its waits of a second ends
result.get(timeout=60)
"""
    seen = ends.celery(code)
    assert (seen["args"], seen["kwargs"], seen["mine"], seen["priority"]) == ([3], {"more": 1}, 7, 3)


@pytest.mark.parametrize("ends", ON_RABBITMQ, indirect=True, scope="module")
def test_a_part_of_a_chord_is_kept_with_the_reason(ends: Ends) -> None:
    """What a Celery client sends that has a store for chords, and a worker gets that has none."""
    u = ends.queues["umbel"]
    code = f"""
result = add.apply_async((1, 2), queue={u!r}, group_id="a group", chord=tell.s())
error = result.get(timeout=60, propagate=False)
[result.id, type(error).__name__, str(error)]
"""
    task_id, kind, told = ends.celery(code)
    assert kind == "NoResultBackend"
    assert "it is a part of a chord (group a group)" in told
    letter = next(letter for letter in ends.app.dead.list() if letter.id == task_id)
    assert "a part of a chord" in letter.reason
    assert ends.app.dead.purge(letter.number) == 1
