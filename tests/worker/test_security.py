"""Signed, sealed and redacted calls, from a real call to a real worker on a memory broker."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from umbel import Reject, Retry, Task, Umbel
from umbel.attempt import drive
from umbel.clock import SystemClock
from umbel.errors import DecodeError, EncodeError, SealError, SignatureError
from umbel.middleware import Runnable
from umbel.model import Delivery, Envelope, Message, Route
from umbel.ports import DeadLetter, DeadLetters
from umbel.progress.flusher import Flusher
from umbel.result import AsyncResult
from umbel.stores.memory import MemoryStore
from umbel.wire import task_v2
from umbel.wire.envelope import pack, unpack
from umbel.wire.marking import marked
from umbel.worker.alone import Alone
from umbel.worker.holding import LOST, Certificate
from umbel.worker.journey import Journey
from umbel.worker.plan import plan_for

OLD, NEW = "the first key of all", "another one of those"
PATIENCE = 30


class Site:
    """A memory broker of its own; every app on it stands for a machine of its own."""

    numbers = itertools.count()

    def __init__(self) -> None:
        self.name = f"security-{next(self.numbers)}"
        self.store = MemoryStore.named(self.name)

    def app(self, **settings: Any) -> Umbel:
        app = Umbel("shop", broker=f"memory://{self.name}", set_as_current=False, **settings)

        @app.task(name="shop.add")
        def add(x: int, y: int) -> int:
            return x + y

        @app.task(name="shop.again", bind=True)
        def again(self: Task[..., Any], password: str) -> str:
            if self.request.retries == 0:
                raise Retry(countdown=0)
            if self.request.retries == 1:
                raise Retry(countdown=0, args=["changed"])
            return f"{self.request.retries} retries"

        @app.task(name="shop.login")
        def login(user: str, password: str, *, pin: str = "") -> str:
            return user

        return app

    def waiting(self) -> list[Envelope]:
        """What is in the queue."""
        return [entry[-1].envelope for entry in self.store._ready.get("celery", [])]

    def record(self, result: AsyncResult[Any]) -> bytes:
        """What is kept of a result."""
        return self.store._records[result.id].payload

    def taken(self, app: Umbel, *args: Any) -> Envelope:
        """A message of ``app`` as an attacker finds it, out of the queue."""
        app.send_task("shop.add", args)
        (envelope,) = self.waiting()
        self.store.purge("celery")
        return envelope


class Shifted(SystemClock):
    """The system's clock, so many seconds ahead."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        return super().now() + self._seconds


class Nobody:
    """A node that is asked for nothing."""

    async def acknowledge(self, number: int) -> None:
        raise AssertionError(number)

    def limits(self, number: int, soft: float | None, hard: float | None) -> None:
        raise AssertionError(number)


async def call_nothing(task: Runnable, message: Message) -> Any:
    raise AssertionError(f"{task.name} was called")


@pytest.fixture
def site() -> Site:
    return Site()


@contextmanager
def working(app: Umbel) -> Iterator[None]:
    """A worker of ``app`` while the block runs."""
    ready = threading.Event()
    worker = Alone(app, plan_for(app, pool="solo"), ready.set)
    thread = threading.Thread(target=worker.serve)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield
    finally:
        worker.stop()
        thread.join()


def dead(app: Umbel) -> list[DeadLetter]:
    broker = app.broker
    assert isinstance(broker, DeadLetters)
    return list(asyncio.run(broker.dead_letters()))


def send(app: Umbel, envelope: Envelope) -> AsyncResult[Any]:
    """Put a message of an attacker into the queue."""
    app.broker.publish_now([(Route("celery"), envelope)])  # type: ignore[attr-defined]
    return app.result(envelope.id)


def test_signed_calls_and_their_retries_are_run(site: Site) -> None:
    app = site.app(security_signing_keys=[OLD])
    result, retried = app.send_task("shop.add", (1, 2)), app.send_task("shop.again", ("x",))
    assert all("umbel_signature" in unpack(envelope).headers for envelope in site.waiting())
    with working(app):
        assert result.get(timeout=PATIENCE) == 3
        assert retried.get(timeout=PATIENCE) == "2 retries"
    assert dead(app) == []


def test_calls_that_are_sent_together_are_signed_each(site: Site) -> None:
    app = site.app(security_signing_keys=[OLD])
    task = app.tasks["shop.add"]
    results = task.delay_many([(n, n) for n in range(5)])
    with working(app):
        assert [result.get(timeout=PATIENCE) for result in results] == [0, 2, 4, 6, 8]


def alter(change: Callable[[dict[str, Any]], object]) -> Callable[[Envelope], Envelope]:
    def altered(envelope: Envelope) -> Envelope:
        letter = unpack(envelope)
        change(letter.headers)
        return pack("plain", envelope.id, *letter)

    return altered


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda envelope: envelope._replace(body=b"[[1, 1000000], {}, null]"), "the signature does not fit"),
        (alter(lambda headers: headers.update(task="shop.login")), "the signature does not fit"),
        (alter(lambda headers: headers.pop("umbel_signature")), "the message is not signed"),
        (alter(lambda headers: headers.update(umbel_signature="v1")), "is no signature that this version knows"),
    ],
    ids=["body", "task", "unsigned", "no signature"],
)
def test_a_forged_message_is_a_dead_letter_and_a_failure(
    site: Site, forge: Callable[[Envelope], Envelope], reason: str
) -> None:
    app = site.app(security_signing_keys=[OLD])
    forged = forge(site.taken(app, 1, 2))
    result = send(app, forged)
    with working(app):
        with pytest.raises(SignatureError, match=reason):
            result.get(timeout=PATIENCE)
        assert app.send_task("shop.add", (3, 4)).get(timeout=PATIENCE) == 7
    (letter,) = dead(app)
    assert letter.envelope == forged
    assert letter.reason.startswith("SignatureError: ")
    assert reason in letter.reason


def test_a_forged_message_cannot_claim_a_life_that_shuts_out_the_true_one(site: Site) -> None:
    app = site.app(security_signing_keys=[OLD])
    forged = alter(lambda headers: headers.update(umbel_life=2**30))(site.taken(app, 1, 2))
    with working(app), pytest.raises(SignatureError):
        send(app, forged).get(timeout=PATIENCE)
    assert site.store._records[forged.id].life == 0


def test_a_message_that_is_too_old_is_a_dead_letter_and_is_taken_when_it_is_marked_anew(site: Site) -> None:
    sender, app = site.app(security_signing_keys=[OLD]), site.app(security_signing_keys=[OLD])
    sender.clock = Shifted(-2 * 86400)
    result = sender.send_task("shop.add", (1, 2))
    with working(app), pytest.raises(SignatureError, match=r"17280. s old, and those older than 86400 s are not taken"):
        result.get(timeout=PATIENCE)
    (letter,) = dead(app)
    result.forget()
    send(app, marked(letter.envelope, {"umbel_life": 1}, protection=app.protection))
    with working(app):
        assert app.result(result.id).get(timeout=PATIENCE) == 3


def test_keys_are_changed_step_by_step(site: Site) -> None:
    before, during, after = (
        site.app(security_signing_keys=keys, security_encryption_keys=keys) for keys in ([OLD], [NEW, OLD], [NEW])
    )
    first, second = before.send_task("shop.again", ("x",)), during.send_task("shop.add", (1, 2))
    with working(during):
        assert first.get(timeout=PATIENCE) == "2 retries"
        assert second.get(timeout=PATIENCE) == 3
    late, good = before.send_task("shop.add", (1, 2)), during.send_task("shop.add", (3, 4))
    with working(after):
        with pytest.raises(SignatureError, match="which is not among those here"):
            late.get(timeout=PATIENCE)
        assert good.get(timeout=PATIENCE) == 7


def test_a_worker_without_keys_takes_signed_messages_and_one_with_keys_takes_no_others(site: Site) -> None:
    signing, plain = site.app(security_signing_keys=[OLD]), site.app()
    signed = signing.send_task("shop.add", (1, 2))
    with working(plain):
        assert signed.get(timeout=PATIENCE) == 3
    unsigned = plain.send_task("shop.add", (1, 2))
    with working(signing), pytest.raises(SignatureError, match="the message is not signed"):
        unsigned.get(timeout=PATIENCE)


def test_keys_may_be_written_while_the_program_runs(site: Site) -> None:
    app = site.app()
    assert "umbel_signature" not in unpack(site.taken(app, 1, 2)).headers
    app.conf.security_signing_keys = [NEW]
    assert "umbel_signature" in unpack(site.taken(app, 1, 2)).headers


def test_sealed_calls_are_run_and_nothing_keeps_their_arguments(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    app = site.app(security_signing_keys=[OLD], security_encryption_keys=[OLD], task_compression="gzip")
    caplog.set_level(logging.DEBUG)
    result, retried = app.send_task("shop.login", ("ann", "sesame")), app.send_task("shop.again", ("sesame",))
    for envelope in site.waiting():
        assert b"sesame" not in envelope.head + envelope.body
    with working(app):
        assert result.get(timeout=PATIENCE) == "ann"
        assert retried.get(timeout=PATIENCE) == "2 retries"
    assert b'"args": "<encrypted>", "kwargs": "<encrypted>"' in site.record(result)
    assert b"sesame" not in site.record(result) + site.record(retried)
    assert "sesame" not in caplog.text


def test_a_worker_without_the_key_buries_what_is_sealed(site: Site) -> None:
    sealing, plain = site.app(security_encryption_keys=[OLD]), site.app()
    result = sealing.send_task("shop.add", (1, 2))
    with working(plain), pytest.raises(SealError, match="the body is sealed, and no key is here to open it"):
        result.get(timeout=PATIENCE)
    (letter,) = dead(plain)
    assert letter.reason.startswith("SealError: ")


def test_a_sealed_body_in_another_message_is_a_dead_letter(site: Site) -> None:
    app = site.app(security_encryption_keys=[OLD])
    moved = alter(lambda headers: headers.update(id="other"))(site.taken(app, 1, 2))._replace(id="other")
    with working(app), pytest.raises(SealError, match="it was altered, or belongs to another task or id"):
        send(app, moved).get(timeout=PATIENCE)


def test_redacted_arguments_are_shown_nowhere(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    app = site.app(task_redact_args=["password", "pin"])
    caplog.set_level(logging.DEBUG)
    task = app.tasks["shop.login"]
    results = [
        app.send_task("shop.login", ("ann", "sesame"), {"pin": "sesame"}),
        app.send_task("shop.login", ("ann",), {"password": "sesame"}),
        *task.delay_many([("ann", "sesame"), ("bob", "sesame")]),
        app.send_task("shop.again", ("sesame",)),
    ]
    for envelope in site.waiting():
        assert b"sesame" not in envelope.head
        assert b"sesame" in envelope.body
    assert {unpack(envelope).headers["argsrepr"] for envelope in site.waiting()} == {
        "('ann', '***')",
        "('ann',)",
        "('bob', '***')",
        "('***',)",
    }
    with working(app):
        assert [result.get(timeout=PATIENCE) for result in results] == ["ann", "ann", "ann", "bob", "2 retries"]
    assert b'"args": ["ann", "***"], "kwargs": {"pin": "***"}' in site.record(results[0])
    for result in results:
        assert b"sesame" not in site.record(result)
    assert b"changed" not in site.record(results[-1])
    assert "sesame" not in caplog.text


def test_a_retry_with_other_arguments_is_redacted_too(site: Site) -> None:
    app = site.app(task_redact_args=["password"])
    seen: list[str | None] = []

    @app.task(name="shop.shows", bind=True)
    def shows(self: Task[..., Any], password: str) -> None:
        message = self.request.message
        assert message is not None
        seen.append(message.argsrepr)
        if self.request.retries == 0:
            raise Retry(countdown=0, args=["sesame 2"])

    with working(app):
        app.send_task("shop.shows", ("sesame",)).get(timeout=PATIENCE)
    assert seen == ["('***',)", "['***']"]


@pytest.mark.parametrize("broker", ["memory", "sqlite"])
@pytest.mark.parametrize("name", ["id", "group", "root_id", "parent_id", "shadow", "task"])
def test_a_name_that_no_store_can_keep_costs_no_worker_its_life(
    site: Site, broker: str, name: str, tmp_path: Path
) -> None:
    app = site.app()
    if broker == "sqlite":
        app.conf.broker_url = f"sqlite:///{tmp_path}/shop.db"
    envelope = task_v2.encode(Message(task="shop.add", id="odd", args=(1, 2)), "plain")
    result = send(app, alter(lambda headers: headers.update({name: "\ud800"}))(envelope))
    with working(app):
        with pytest.raises(DecodeError, match="half of a surrogate pair"):
            result.get(timeout=PATIENCE)
        assert app.send_task("shop.add", (3, 4)).get(timeout=PATIENCE) == 7


@pytest.mark.parametrize("broker", ["memory", "sqlite"])
def test_a_reason_that_no_store_can_keep_costs_no_worker_its_life(site: Site, broker: str, tmp_path: Path) -> None:
    app = site.app()
    if broker == "sqlite":
        app.conf.broker_url = f"sqlite:///{tmp_path}/shop.db"

    @app.task(name="shop.rejects")
    def rejects() -> None:
        raise Reject("no such file: \udcff")

    @app.task(name="shop.reports", bind=True)
    def reports(self: Task[..., Any]) -> None:
        self.update_state(state="no such file: \udcff")

    app.send_task("shop.rejects")
    reported = app.send_task("shop.reports")
    with working(app):
        with pytest.raises(EncodeError, match=r"state: .* half of a surrogate pair"):
            reported.get(timeout=PATIENCE)
        assert app.send_task("shop.add", (3, 4)).get(timeout=PATIENCE) == 7
    assert [letter.reason for letter in dead(app)] == ["no such file: \\udcff"]


def test_how_old_a_message_is_does_not_matter_once_it_was_handed_out(site: Site) -> None:
    app = site.app(security_signing_keys=[OLD])
    envelope = site.taken(app, 1, 2)
    app.clock = Shifted(3 * 86400)
    journey = Journey(app, "worker", call_nothing, Nobody(), Flusher(app, "worker", lambda notes, records: None))
    delivery = Delivery(envelope, "celery", None)
    refused = drive(journey(1, delivery))
    assert refused.verdict.kind == "dead"
    report = drive(journey.certify(1, delivery, Certificate(LOST, "its process died")))
    assert report.verdict.kind == "ack"
    assert report.record is not None
    assert b"WorkerLostError" in report.record.payload
    forged = delivery._replace(envelope=envelope._replace(body=b"[[], {}, null]"))
    assert drive(journey.certify(1, forged, Certificate(LOST, "its process died"))).verdict.kind == "dead"
