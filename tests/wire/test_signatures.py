"""What follows a message, as its links say: signatures in, steps out."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from umbel.errors import DecodeError, NoResultBackend
from umbel.model import NO_LINKS, Links, Message
from umbel.wire.signatures import (
    Step,
    Waiting,
    after_failure,
    after_success,
    body_left_out,
    body_of,
    left_out,
    urgency,
)


def sig(task: str = "t", *args: Any, immutable: bool = False, **options: Any) -> dict[str, Any]:
    return {"task": task, "args": list(args), "kwargs": {}, "options": options, "immutable": immutable}


def chain(*tasks: Any, **options: Any) -> dict[str, Any]:
    return {**sig("celery.chain", **options), "kwargs": {"tasks": list(tasks)}}


def group(*tasks: Any, **options: Any) -> dict[str, Any]:
    return {**sig("celery.group", **options), "kwargs": {"tasks": list(tasks)}}


def chord(*header: Any, body: Any) -> dict[str, Any]:
    return {**sig("celery.chord"), "kwargs": {"header": list(header), "body": body, "kwargs": {}}}


def message(**links: Any) -> Message:
    return Message(task="first", id="1", root_id="root", reply_to="home", links=Links(**links))


def only(steps: list[Step]) -> Step:
    (step,) = steps
    return step


def calls(steps: list[Step]) -> list[tuple[str, list[Any]]]:
    return [(step.task, list(step.args)) for step in steps]


@pytest.mark.parametrize(("form", "expected"), [("amqp", [0, 3, 9, 200]), ("kombu", [9, 6, 0, 0])])
def test_the_number_of_a_priority_means_what_its_form_makes_of_it(form: str, expected: list[int]) -> None:
    assert [urgency(number, form) for number in (0, 3, 9, 200)] == expected


class TestSuccess:
    def test_nothing_follows_a_message_without_links(self) -> None:
        assert after_success(message(), 5) == []

    def test_a_callback_gets_the_result_before_its_own_arguments(self) -> None:
        assert calls(after_success(message(callbacks=[sig("a", 1), sig("b")]), 5)) == [("a", [5, 1]), ("b", [5])]

    def test_an_immutable_callback_gets_its_own_arguments_alone(self) -> None:
        assert calls(after_success(message(callbacks=[sig("a", 1, immutable=True)]), 5)) == [("a", [1])]

    def test_the_last_of_the_chain_is_next_and_takes_the_rest_along(self) -> None:
        third, second = sig("c"), sig("b")
        step = only(after_success(message(chain=[third, second]), 5))
        assert (step.task, step.args, step.links) == ("b", (5,), Links(chain=[third]))
        step = only(after_success(message(chain=[third]), 5))
        assert (step.task, step.links) == ("c", NO_LINKS)

    def test_callbacks_go_before_the_chain(self) -> None:
        assert [step.task for step in after_success(message(callbacks=[sig("a")], chain=[sig("b")]), 0)] == ["a", "b"]

    def test_where_it_comes_from_goes_along(self) -> None:
        step = only(after_success(message(chain=[sig("b")]), 5))
        options = step.options
        assert (options["parent_id"], options["root_id"], options["reply_to"]) == ("1", "root", "home")
        step = only(after_success(message(chain=[sig("b", reply_to="elsewhere")]), 5))
        assert step.options["reply_to"] == "elsewhere"

    def test_an_id_that_is_given_stays_and_any_other_is_the_same_each_time(self) -> None:
        assert only(after_success(message(chain=[sig("b", task_id="2")]), 5)).options["task_id"] == "2"
        links = {"callbacks": [sig("a"), sig("a"), group(sig("a"), sig("a"))], "chain": [sig("a")]}
        first, second = (
            [step.options["task_id"] for step in after_success(message(**links), value)] for value in (5, 6)
        )
        assert first == second
        assert len(set(first)) == 5
        assert {uuid.UUID(each).version for each in first} == {5}

    def test_marks_of_the_life_and_of_a_second_attempt_are_handed_on(self) -> None:
        marks = {"umbel_life": 2, "umbel_resent": True, "umbel_starts": 1}
        first = Message(task="first", id="1", marks=marks, links=Links(chain=[sig("b")]))
        assert only(after_success(first, 5)).marks == {"umbel_life": 2, "umbel_resent": True}

    def test_options_of_the_call_are_kept(self) -> None:
        time = "2100-01-02T03:04:05+00:00"
        given: dict[str, Any] = {
            "queue": "q",
            "routing_key": "dropped, for the queue is named",
            "eta": time,
            "expires": time,
            "serializer": "msgpack",
            "compression": "gzip",
            "headers": {"mine": 1, "task": "not the user's", "umbel_life": 9, "colour": "red"},
            "stamped_headers": ["colour"],
            "colour": ["red"],
            "app_id": "app",
            "priority": 200,
            "group_id": "g",
            "group_index": 3,
            "retry_policy": {"max_retries": 1},
        }
        step = only(after_success(message(chain=[sig("b", **given)]), 5))
        at = datetime(2100, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert step.options == {
            "queue": "q",
            "eta": at,
            "expires": at,
            "serializer": "msgpack",
            "compression": "gzip",
            "headers": {"mine": 1},
            "properties": {"app_id": "app"},
            "task_id": step.options["task_id"],
            "reply_to": "home",
            "parent_id": "1",
            "root_id": "root",
        }
        made = step.of(Message(task="b", id="2"))
        assert (made.priority, made.group, made.group_index) == (200, "g", 3)
        assert (made.stamped_headers, made.stamps) == (["colour"], {"colour": ["red"]})

    def test_a_countdown_goes_before_an_eta(self) -> None:
        step = only(after_success(message(chain=[sig("b", countdown=5, eta="2100-01-02")]), 5))
        assert step.options["countdown"] == 5
        assert "eta" not in step.options

    def test_links_of_a_link_go_along(self) -> None:
        inner = sig("b", link=sig("c"), link_error=[sig("d")], chain=[sig("e")], chord=sig("body"))
        step = only(after_success(message(chain=[sig("z"), inner]), 5))
        assert step.links == Links(
            callbacks=[sig("c")], errbacks=[sig("d")], chain=[sig("z"), sig("e")], chord=sig("body")
        )


class TestShapes:
    def test_members_of_a_group_each_get_the_result(self) -> None:
        steps = after_success(message(chain=[group(sig("a", 1), sig("b", immutable=True), task_id="g")]), 5)
        assert calls(steps) == [("a", [5, 1]), ("b", [])]
        assert [(step.group, step.group_index) for step in steps] == [("g", 0), ("g", 1)]

    def test_options_of_a_group_are_those_of_its_members(self) -> None:
        (step,) = after_success(message(callbacks=[group(sig("a", queue="old"), queue="q", link_error=sig("e"))]), 5)
        assert step.options["queue"] == "q"
        assert step.links.errbacks == [sig("e")]

    def test_a_chain_starts_with_its_first_and_ends_as_the_chain_should(self) -> None:
        inner = chain(sig("a", 1), sig("b"), task_id="last", link=sig("then"), link_error=sig("e"), queue="q")
        step = only(after_success(message(callbacks=[inner]), 5))
        assert (step.task, step.args, step.options["queue"]) == ("a", (5, 1), "q")
        assert step.links.errbacks == [sig("e")]
        (after,) = step.links.chain or ()
        assert after["options"] == {"task_id": "last", "link": [sig("then")], "link_error": [sig("e")]}

    def test_a_chain_inside_a_chain_goes_on_with_the_outer_one(self) -> None:
        step = only(after_success(message(chain=[sig("z"), chain(sig("a"), sig("b"))]), 5))
        assert [each["task"] for each in step.links.chain or ()] == ["z", "b"]

    def test_a_chain_inside_a_group_is_one_member_of_it(self) -> None:
        steps = after_success(message(chain=[group(chain(sig("a"), sig("b")), sig("c"), task_id="g")]), 5)
        assert [(step.task, step.group) for step in steps] == [("a", None), ("c", "g")]
        (last,) = steps[0].links.chain or ()
        assert (last["options"]["group_id"], last["options"]["group_index"]) == ("g", 0)

    def test_what_is_empty_is_passed_over(self) -> None:
        assert calls(after_success(message(chain=[sig("z"), chain()]), 5)) == [("z", [5])]
        assert calls(after_success(message(chain=[sig("z"), group()]), 5)) == [("z", [[]])]
        assert after_success(message(callbacks=[group(), chain()]), 5) == []


class TestChords:
    @pytest.mark.parametrize(
        "links",
        [
            {"chord": sig("body")},
            {"chain": [chord(sig("a"), body=sig("b"))]},
            {"callbacks": [group(chord(sig("a"), body=sig("b")))]},
            {"chain": [sig("after"), group(sig("a"))]},
        ],
    )
    def test_what_takes_a_join_is_refused(self, links: Any) -> None:
        with pytest.raises(NoResultBackend, match="no result store here can join"):
            after_success(message(**links), 5)

    def test_one_that_comes_later_is_left_to_the_worker_that_gets_there(self) -> None:
        assert calls(after_success(message(chain=[chord(sig("a"), body=sig("b")), sig("next")]), 5)) == [("next", [5])]


class TestJoinedChords:
    """Where a store can join the parts."""

    def test_the_body_gets_the_values_and_keeps_what_it_was_given(self) -> None:
        part = replace(message(chord=sig("body", 7, task_id="b", link=sig("next"))), group="g")
        step = only(body_of(part, [1, 2], {}))
        assert (step.args, step.options["task_id"], step.options["parent_id"], step.group) == (
            ([1, 2], 7),
            "b",
            "1",
            "g",
        )
        assert step.links.callbacks == [sig("next")]
        assert after_success(part, 5, {}) == []

    def test_an_immutable_body_gets_nothing(self) -> None:
        assert calls(body_of(message(chord=sig("body", 7, immutable=True)), [1], {})) == [("body", [7])]

    def test_each_part_of_a_header_carries_the_body_and_the_body_the_rest(self) -> None:
        groups: dict[str, int] = {}
        header = group(sig("a", 1, task_id="2"), sig("b", immutable=True), task_id="g", queue="q")
        signature = {**sig("celery.chord", link_error=sig("e")), "kwargs": {"header": header, "body": sig("body")}}
        first, second = after_success(message(chain=[sig("rest"), signature]), 5, groups)
        assert groups == {"g": 2}
        assert calls([first, second]) == [("a", [5, 1]), ("b", [])]
        assert [(step.group, step.group_index, step.options["queue"]) for step in (first, second)] == [
            ("g", 0, "q"),
            ("g", 1, "q"),
        ]
        body = first.links.chord
        assert body == second.links.chord
        assert body is not None
        assert body["options"]["chain"] == [sig("rest")]
        assert body["options"]["link_error"] == [sig("e")]

    def test_a_group_with_something_after_it_is_a_chord(self) -> None:
        groups: dict[str, int] = {}
        steps = after_success(
            message(chain=[sig("last"), sig("body"), group(sig("a"), sig("b"), task_id="g")]), 5, groups
        )
        assert (calls(steps), groups) == ([("a", [5]), ("b", [5])], {"g": 2})
        assert steps[0].links.chord is not None
        assert (steps[0].links.chord["task"], steps[0].links.chord["options"]["chain"]) == ("body", [sig("last")])

    def test_parts_are_counted_by_what_ends_last(self) -> None:
        groups: dict[str, int] = {}
        inner = chord(sig("x"), sig("y"), body=sig("inner", task_id="i"))
        header = [
            chain(sig("a"), sig("b")),
            chain(),
            group(sig("c"), sig("d")),
            inner,
            chain(sig("e"), group(sig("f"), sig("g"))),
        ]
        signature = {**sig("celery.chord"), "kwargs": {"header": group(*header, task_id="g"), "body": sig("body")}}
        steps = after_success(message(chain=[signature]), 5, groups)
        assert [step.task for step in steps] == ["a", "c", "d", "x", "y", "e"]
        assert sorted(groups.values()) == [2, 1 + 2 + 1 + 2]
        assert groups["g"] == 6
        by_task = {step.task: step for step in steps}
        assert by_task["a"].links.chord is None
        assert by_task["c"].group == "g"
        inner_body = by_task["x"].links.chord
        assert inner_body is not None
        assert (inner_body["options"]["group_id"], inner_body["options"]["chord"]["task"]) == ("g", "body")
        assert by_task["x"].group not in ("g", None)
        last = only(after_success(replace(message(), links=by_task["a"].links), 5, {}))
        assert (last.task, last.group, last.links.chord is not None) == ("b", "g", True)
        found = after_success(replace(message(), links=by_task["e"].links), 5, {})
        assert [(step.task, step.group, step.links.chord is not None) for step in found] == [
            ("f", "g", True),
            ("g", "g", True),
        ]

    @pytest.mark.parametrize("header", [[], group(), [chain()]])
    def test_a_header_without_parts_leads_to_the_body_at_once(self, header: Any) -> None:
        groups: dict[str, int] = {}
        signature = {**sig("celery.chord"), "kwargs": {"header": header, "body": sig("body", 1)}}
        steps = after_success(message(chain=[sig("rest"), signature]), 5, groups)
        assert (calls(steps), groups) == ([("body", [[], 1])], {})
        assert steps[0].links.chain == [sig("rest")]

    def test_the_ids_are_the_same_at_every_attempt(self) -> None:
        signature = chord(sig("a"), chain(sig("b"), sig("c")), body=sig("body"))
        plans = [after_success(message(chain=[signature]), value, {}) for value in (5, 6)]
        ids = [[(step.options["task_id"], step.group) for step in plan] for plan in plans]
        assert ids[0] == ids[1]
        assert len(set(ids[0])) == 2

    @pytest.mark.parametrize(
        ("kwargs", "field"),
        [
            ({"header": 5, "body": sig()}, "embed.chain.header"),
            ({"header": [5], "body": sig()}, "embed.chain.header.0"),
            ({"header": [sig()], "body": None}, "embed.chain.body"),
        ],
    )
    def test_a_chord_that_is_none_is_named(self, kwargs: Any, field: str) -> None:
        with pytest.raises(DecodeError) as caught:
            after_success(message(chain=[{**sig("celery.chord"), "kwargs": kwargs}]), 5, {})
        assert caught.value.field == field

    def test_a_body_that_is_not_run_leaves_out_what_comes_after_it(self) -> None:
        outer = sig("outer", task_id="o")
        inner = sig(
            "body", task_id="b", link_error=[sig("e")], chain=[sig("z", task_id="z")], chord=outer, group_id="og"
        )
        body = body_left_out(message(chord=inner))
        assert (body.id, body.task, body.links.errbacks) == ("b", "body", [sig("e")])
        waiting, parts = left_out(body)
        assert {each.id for each in waiting} == {"b", "z"}
        assert [(part.id, part.group, part.links.chord) for part in parts] == [("b", "og", outer)]

    def test_of_a_chain_as_a_body_the_first_has_the_callbacks(self) -> None:
        inner = chain(sig("x", task_id="x", link_error=sig("e")), sig("y", task_id="y"), task_id="y")
        body = body_left_out(message(chord=inner))
        assert (body.id, body.links.errbacks) == ("y", [sig("e")])
        assert {each.id for each in left_out(body)[0]} == {"x", "y"}


class TestFailure:
    def test_an_error_callback_gets_the_id_of_what_failed(self) -> None:
        found = after_failure(message(errbacks=[sig("e", 1), sig("e", 2, immutable=True)]))
        assert calls([step for step, _ in found]) == [("e", ["1", 1]), ("e", [2])]
        assert [signature["args"] for _, signature in found] == [[1], [2]]

    def test_the_rest_of_the_chain_is_left_out(self) -> None:
        members = group(sig("c", task_id="3"), chain(sig("d", task_id="4")), task_id="g")
        waiting, in_chord = left_out(message(chain=[members, sig("b", task_id="2", reply_to="there"), sig("x")]))
        assert waiting == [Waiting("2", "b", "there"), Waiting("3", "c", "home"), Waiting("4", "d", "home")]
        assert not in_chord

    def test_a_chord_may_wait_for_the_rest(self) -> None:
        assert left_out(message(chain=[sig("b", task_id="2", chord=sig("body"))]))[1]
        waiting, parts = left_out(message(chain=[chord(sig("h", task_id="h"), body=sig("b", task_id="b"))]))
        assert ([each.id for each in waiting], parts) == (["h", "b"], [])


@pytest.mark.parametrize(
    ("signature", "field"),
    [
        (5, "embed.chain"),
        ({}, "embed.chain.task"),
        ({**sig(), "args": "text"}, "embed.chain.args"),
        ({**sig(), "kwargs": []}, "embed.chain.kwargs"),
        ({**sig(), "options": []}, "embed.chain.options"),
        (sig("celery.group"), "embed.chain.kwargs.tasks"),
        (group(7), "embed.chain.0"),
        (sig(task_id=7), "embed.chain.options.task_id"),
        (sig(reply_to=7), "embed.chain.options.reply_to"),
        (sig(priority=-1), "embed.chain.options.priority"),
        (sig(link=7), "embed.chain.options.link"),
        (sig(chord=7), "embed.chain.options.chord"),
        (sig(eta="soon"), "embed.chain.options.eta"),
        (sig(expires=[]), "embed.chain.options.expires"),
        (sig(stamped_headers=7), "embed.chain.options.stamped_headers"),
    ],
)
def test_a_part_that_is_wrong_is_named(signature: Any, field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        after_success(message(chain=[signature]), 5)
    assert caught.value.field == field


def test_too_many_are_refused() -> None:
    with pytest.raises(DecodeError, match="more than 10000 tasks follow"):
        after_success(message(callbacks=[sig()] * 10_001), 5)
