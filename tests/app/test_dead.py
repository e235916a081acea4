"""Tests of what an app offers for the messages that could not be done."""

import asyncio
import uuid
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import pytest

from umbel.app import Umbel
from umbel.brokers.memory import MemoryBroker
from umbel.clock import SystemClock
from umbel.dead import DROPPED_AT_ONCE, PAGE, DeadTask
from umbel.errors import ConfigurationError, NoSuchDeadLetter, SignatureError
from umbel.model import Envelope, Message, Route, Settlement, dead
from umbel.serial import accepted
from umbel.stores.memory import Holder
from umbel.wire import task_v2

JSON = accepted(["json"])


class HandClock(SystemClock):
    """A wall clock turned by hand."""

    time = 1_800_000_000.0

    def now(self) -> float:
        return self.time


class Undertaker:
    """An app, and messages that died in its broker."""

    def __init__(self, **settings: object) -> None:
        url = f"memory://{uuid.uuid4().hex}"
        self.app = Umbel("dead", broker=url, set_as_current=False, **settings)  # type: ignore[arg-type]
        broker = self.app.broker
        assert isinstance(broker, MemoryBroker)
        self.store = broker.keeper
        self.clock = self.app.clock = HandClock()
        self.store.use_clock(self.clock)

    def bury(self, envelope: Envelope, reason: str = "why not", queue: str = "celery", priority: int = 0) -> None:
        self.store.publish([(Route(queue, priority), envelope)])
        holder = Holder((queue,))
        self.store.settle(holder, [Settlement(held, dead(reason)) for held in self.store.claim(holder, 1)])

    def task(self, name: str, reason: str = "why not", queue: str = "celery", **more: object) -> str:
        """The id of a call that died."""
        message = Message(task=name, id=str(uuid.uuid4()), args=[1, "a"], **more)  # type: ignore[arg-type]
        self.bury(task_v2.encode(message, "plain", protection=self.app.protection), reason, queue)
        return message.id

    def waiting(self, queue: str = "celery") -> list[Envelope]:
        """What is ready in the queue; it is taken out."""
        return [held.envelope for held in self.store.claim(Holder((queue,)), 10_000)]


@pytest.fixture
def grave() -> Undertaker:
    return Undertaker()


def tasks(found: object) -> list[str | None]:
    assert isinstance(found, list)
    return [letter.task for letter in found]


# -- looking


def test_a_dead_letter_is_told_without_its_content(grave: Undertaker) -> None:
    id = grave.task("shop.mail", "it kills", "mail")
    (letter,) = grave.app.dead.list()
    assert (letter.number, letter.task, letter.id, letter.queue) == (1, "shop.mail", id, "mail")
    assert (letter.reason, letter.life, letter.priority) == ("it kills", 0, 0)
    assert letter.died == datetime.fromtimestamp(grave.clock.time, UTC)
    assert letter.size > 100
    assert not {"body", "headers"} & {each.name for each in fields(DeadTask)}


def test_filters_must_all_fit(grave: Undertaker) -> None:
    grave.task("shop.mail", "NotRegistered: shop.mail", "mail")
    grave.task("shop.add", "WorkerLostError: poison")
    grave.task("web.add", "NotRegistered: web.add")
    office = grave.app.dead
    assert tasks(office.list(task="shop.add")) == ["shop.add"]
    assert tasks(office.list(task="shop.*")) == ["shop.mail", "shop.add"]
    assert tasks(office.list(task="Shop.*")) == []
    assert tasks(office.list(reason="notregistered")) == ["shop.mail", "web.add"]
    assert tasks(office.list(reason="notregistered", queue="celery")) == ["web.add"]
    assert tasks(office.list(queue="mail", task="web.*")) == []
    assert tasks(office.list(limit=2)) == ["shop.mail", "shop.add"]
    assert tasks(office.list(limit=0)) == []


def test_filters_of_age_take_seconds_durations_and_moments(grave: Undertaker) -> None:
    for name in ("first", "second", "third"):
        grave.task(name)
        grave.clock.time += 100
    second = datetime.fromtimestamp(grave.clock.time - 200, UTC)
    office = grave.app.dead
    assert tasks(office.list(older_than=200)) == ["first", "second"]
    assert tasks(office.list(newer_than=timedelta(seconds=200))) == ["third"]
    assert tasks(office.list(older_than=second)) == ["first", "second"]
    assert tasks(office.list(newer_than=second.replace(tzinfo=None))) == ["third"]
    assert tasks(office.list(newer_than=300, older_than=200.0)) == ["second"]


@pytest.mark.parametrize(
    "wrong",
    [{"older_than": -1}, {"newer_than": "1h"}, {"older_than": True}, {"newer_than": float("nan")}, {"task": 7}],
    ids=str,
)
def test_a_filter_that_cannot_be_meant_is_refused(grave: Undertaker, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        grave.app.dead.list(**wrong)  # type: ignore[arg-type]


def test_wrong_limits_and_numbers_are_refused(grave: Undertaker) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        grave.app.dead.list(limit=-1)
    with pytest.raises(ConfigurationError, match="number"):
        grave.app.dead.purge("12")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="number"):
        grave.app.dead.replay([True])


def test_one_is_shown_whole_and_its_body_is_not_looked_at(grave: Undertaker) -> None:
    grave.task("shop.mail", headers={"tenant": "a"})
    shown = grave.app.dead.show(1)
    assert (shown.headers["task"], shown.headers["tenant"]) == ("shop.mail", "a")
    assert (shown.content_type, shown.content_encoding, shown.unreadable) == ("application/json", "utf-8", None)
    assert shown.properties["correlation_id"] == shown.id
    assert shown.body.startswith(b'[[1, "a"], {}')


def test_what_nobody_can_read_is_shown_as_bytes(grave: Undertaker) -> None:
    grave.bury(Envelope("plain", "", b"\xff head", b"\x80\x05 pickle"))
    (letter,) = grave.app.dead.list()
    assert (letter.task, letter.id, letter.life) == (None, None, 0)
    shown = grave.app.dead.show(letter.number)
    assert (shown.head, shown.body, shown.headers) == (b"\xff head", b"\x80\x05 pickle", {})
    assert shown.unreadable is not None
    assert "UTF-8" in shown.unreadable


def test_one_that_is_not_there_is_an_error(grave: Undertaker) -> None:
    grave.task("a")
    with pytest.raises(NoSuchDeadLetter, match="there is no dead letter 2"):
        grave.app.dead.show(2)
    grave.app.dead.purge()
    with pytest.raises(LookupError):
        grave.app.dead.show(1)


# -- sending again


def test_a_replay_begins_a_new_life_and_holds_nothing_of_the_last_one_against_it(grave: Undertaker) -> None:
    marks = {"umbel_starts": 2, "umbel_resent": True, "umbel_unknown_since": 5.0, "umbel_life": 3}
    id = grave.task("shop.mail", queue="mail", headers={"tenant": "a"}, marks=marks)
    assert grave.app.dead.replay() == 1
    assert grave.app.dead.list() == []
    (envelope,) = grave.waiting("mail")
    message = task_v2.decode(envelope, accept=JSON)
    assert (message.id, message.args, message.headers) == (id, [1, "a"], {"tenant": "a"})
    assert message.marks == {"umbel_life": 4}


def test_chosen_numbers_are_replayed_wherever_they_stand(grave: Undertaker) -> None:
    for number in range(3 * PAGE):
        grave.task(f"t{number + 1}")
    wanted = [1, 2, PAGE, PAGE + 1, 2 * PAGE + 7, 3 * PAGE]
    assert grave.app.dead.replay([*reversed(wanted), 1, 100_000]) == len(wanted)
    assert [task_v2.peek(envelope)[0] for envelope in grave.waiting()] == [f"t{number}" for number in wanted]
    assert grave.app.dead.replay(5) == 1
    assert grave.app.dead.replay([6, 7], task="t7") == 1
    assert grave.app.dead.replay([]) == 0
    assert len(grave.app.dead.list()) == 3 * PAGE - len(wanted) - 2


def test_filters_choose_what_is_replayed(grave: Undertaker) -> None:
    for name in ("shop.a", "web.a", "shop.b"):
        grave.task(name)
    assert grave.app.dead.replay(task="shop.*") == 2
    assert tasks(grave.app.dead.list()) == ["web.a"]


def test_what_cannot_be_read_is_replayed_as_it_is(grave: Undertaker) -> None:
    envelope = Envelope("plain", "id", b"\xff", b"body")
    grave.bury(envelope)
    assert grave.app.dead.replay() == 1
    assert grave.waiting() == [envelope]


def test_a_signed_message_is_signed_anew_and_one_of_nobody_here_stays() -> None:
    grave = Undertaker(security_signing_keys=["a key of some length"])
    grave.task("signed")
    grave.clock.time += 10 * 86400
    grave.bury(task_v2.encode(Message(task="foreign", id="f"), "plain"))
    with pytest.raises(
        SignatureError, match=r"dead letter 2 cannot be replayed, and stays: .*; 0 others were replayed"
    ):
        grave.app.dead.replay(task="foreign")
    assert tasks(grave.app.dead.list()) == ["signed", "foreign"]
    assert grave.app.dead.replay(1) == 1
    (envelope,) = grave.waiting()
    message = task_v2.decode(envelope, accept=JSON, protection=grave.app.protection)
    assert message.marks["umbel_life"] == 1


def test_those_that_cannot_be_signed_keep_no_others_back() -> None:
    grave = Undertaker(security_signing_keys=["a key of some length"])
    for name in ("a", "x", "b", "y", "z", "c"):
        if name in "abc":
            grave.task(name)
        else:
            grave.bury(task_v2.encode(Message(task=name, id=name), "plain"))
    with pytest.raises(SignatureError, match=r"letter 2 \(and 2 more, the last 5\) .* 3 others were replayed"):
        grave.app.dead.replay()
    assert tasks(grave.app.dead.list()) == ["x", "y", "z"]
    assert len(grave.waiting()) == 3


# -- forgetting


def test_chosen_ones_are_forgotten(grave: Undertaker) -> None:
    for number in range(10):
        grave.task(f"t{number + 1}")
    assert grave.app.dead.purge(3) == 1
    assert grave.app.dead.purge([3, 4, 5]) == 2
    assert grave.app.dead.purge(range(1, 7), task="t6") == 1
    assert tasks(grave.app.dead.list()) == ["t1", "t2", "t7", "t8", "t9", "t10"]
    assert grave.app.dead.purge() == 6
    assert grave.waiting() == []


def test_very_many_are_forgotten_in_parts(grave: Undertaker) -> None:
    count = DROPPED_AT_ONCE + 5
    for number in range(count):
        grave.bury(Envelope("plain", f"{number}", b"", b""))
    assert grave.app.dead.purge(queue="celery") == count


# -- brokers that keep none


def test_a_broker_whose_dead_letters_cannot_be_looked_at_is_named(grave: Undertaker) -> None:
    class Deaf:
        form = "plain"

        async def __aenter__(self) -> "Deaf":
            return self

    grave.app._broker = (grave.app.conf.broker_url, Deaf())  # type: ignore[assignment]
    for ask in (grave.app.dead.list, grave.app.dead.purge, grave.app.dead.replay):
        with pytest.raises(ConfigurationError, match="Deaf keeps its dead letters"):
            ask()


def test_it_answers_in_plain_code_while_a_loop_runs_elsewhere(grave: Undertaker) -> None:
    grave.task("a")

    async def main() -> int:
        return len(await asyncio.to_thread(grave.app.dead.list))

    assert asyncio.run(main()) == 1
