"""What node and runners make of the parts of chords that do not end as they should, and of bodies that others left."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from tools.redis_server import RedisServer
from umbel.app import Umbel
from umbel.errors import Reject
from umbel.joins import Joins
from umbel.model import Delivery, Envelope, Links, Message, SealedRecord, State
from umbel.progress.flusher import Flusher
from umbel.testing.conformance.harness import PATIENCE, until
from umbel.wire import results, task_v2
from umbel.wire.marks import RESENT
from umbel.worker.bodies import Bodies
from umbel.worker.epitaphs import Epitaphs
from umbel.worker.holding import JOINED, LOST, REVOKED, TERMINATED, TIMED_OUT, TRIES, Certificate, Held
from umbel.worker.joining import Joining, desk_of
from umbel.worker.journey import Journey
from umbel.worker.settler import Report
from umbel.worker.settling import Settling


def sig(task: str, *args: Any, immutable: bool = False, **options: Any) -> dict[str, Any]:
    return {"task": task, "args": list(args), "kwargs": {}, "options": options, "immutable": immutable}


@pytest.fixture
def app(redis: RedisServer) -> Umbel:
    """Messages in memory, results on Redis, the keys its own."""
    name = uuid.uuid4().hex
    app = Umbel(
        name,
        broker=f"memory://{name}",
        backend=f"{redis.url}?global_keyprefix={name}",
        set_as_current=False,
        accept_content=["json"],
    )
    for each in ("part", "body", "errback"):
        app.task(name=each)(lambda one: one)
    app.task(name="early", acks_late=False)(lambda one: one)
    return app


class Bench:
    """What of a worker settles: its node without a fleet, and the journey of its runners."""

    def __init__(self, app: Umbel, settling: Settling) -> None:
        assert isinstance(app.backend, Joins)
        self.app, self.store, self.settling = app, app.backend, settling
        self.group, self.body = uuid.uuid4().hex, uuid.uuid4().hex
        self.taken: list[Held] = []
        self.bodies = Bodies(app, self.store, ["q"], self.taken.extend)
        self.epitaphs = Epitaphs(app, "here", settling)
        self.epitaphs.bodies = self.bodies
        self.journey = Journey(app, "here", None, None, Flusher(app, "here", lambda notes, records: None))  # type: ignore[arg-type]
        self.told: list[SealedRecord] = []

    def part(self, number: int, task: str = "part", **fields: Any) -> Message:
        chord = sig("body", task_id=self.body, link_error=[sig("errback")])
        links = fields.pop("links", Links(chord=chord))
        return Message(task=task, id=f"part-{number}", group=self.group, group_index=number, links=links, **fields)

    def delivery(self, message: Message) -> Delivery:
        return Delivery(task_v2.encode(message, self.app.broker.form), "q", None)

    async def succeeds(self, number: int) -> Any:
        """One that ends as it should; gives what its runner is told."""
        return await Joining(self.app).end(self.part(number), State.SUCCESS, number, "q", False)

    async def write(self, delivery: Delivery, certificate: Certificate, certified: int = 0) -> None:
        """The node settles this delivery, which the broker has forgotten."""
        held = Held(delivery)
        held.early, held.certificate, held.certified = True, certificate, certified
        self.epitaphs.write(held)
        await until(self.is_idle)

    async def is_idle(self) -> bool:
        return self.epitaphs.idle and self.settling.idle

    async def body_made(self) -> Report:
        """What a runner reports of the body that it is told to send; the store is told that it is sent."""
        with anyio.fail_after(PATIENCE):
            while not self.taken:  # noqa: ASYNC110  the store tells nobody
                await anyio.sleep(0.005)
        held = self.taken.pop()
        assert held.certificate is not None
        assert held.early
        report = await self.certified(held.delivery, held.certificate)
        assert report.joined == [self.group]
        self.bodies.leaving("q", report.joined)()
        await until(self.desk_is_empty)
        return report

    async def certified(self, delivery: Delivery, certificate: Certificate) -> Report:
        """What a runner reports of a delivery with a certificate."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("umbel.current.recorder", self.told.append)
            return await self.journey.certify(1, delivery, certificate)

    async def desk_is_empty(self) -> bool:
        await self.bodies.tell()
        return not await self.store.unsent(desk_of(self.app, "q"), 0.0)

    def assert_failed(self, envelopes: list[Envelope], why: str, part: str = "part-0") -> None:
        """The body has failed for want of this part, and its error callback is sent, once."""
        (record,) = self.told
        error = results.unseal(record)
        assert (error.id, error.state) == (self.body, "FAILURE")
        assert f"Dependency {part} raised {why}" in str(error.value)
        (envelope,) = envelopes
        assert task_v2.peek(envelope)[0] == "errback"


@pytest.fixture
async def bench(app: Umbel) -> AsyncIterator[Bench]:
    async with working(app) as made:
        yield made


@asynccontextmanager
async def working(app: Umbel) -> AsyncIterator[Bench]:
    async with app.broker as broker, app.backend as backend:
        consumer = await broker.consume(["q"], 1)
        settling = Settling(broker, consumer, backend, app.clock)
        made = Bench(app, settling)
        await made.store.expect({made.group: 2}, None)
        services = [asyncio.create_task(settling.run()), asyncio.create_task(made.bodies.run())]
        try:
            yield made
        finally:
            for service in services:
                service.cancel()
                with suppress(asyncio.CancelledError):
                    await service
            await consumer.close()
    app.close()


async def called(task: Any, message: Message) -> Any:
    return task.run(*message.args, **message.kwargs)


KINDS = [(LOST, "WorkerLostError"), (TIMED_OUT, "TimeLimitExceeded"), (REVOKED, "TaskRevokedError")]


class TestWhatTheNodeSettles:
    pytestmark = pytest.mark.server

    @pytest.mark.parametrize(("kind", "error"), KINDS)
    @pytest.mark.parametrize("certified", [0, TRIES], ids=["read", "not looked at"])
    async def test_as_the_last_part_it_has_a_runner_fail_the_body(
        self, bench: Bench, kind: str, error: str, certified: int
    ) -> None:
        assert await bench.succeeds(1) is None
        await bench.write(bench.delivery(bench.part(0)), Certificate(kind, "why"), certified)
        report = await bench.body_made()
        bench.assert_failed([envelope for _, envelope in report.follow_ups], error)

    @pytest.mark.parametrize("certified", [0, TRIES], ids=["read", "not looked at"])
    async def test_before_the_last_part_it_is_counted(self, bench: Bench, certified: int) -> None:
        await bench.write(bench.delivery(bench.part(0)), Certificate(LOST, "why"), certified)
        ends = await bench.succeeds(1)
        assert "Dependency part-0 raised WorkerLostError" in str(ends.values)
        assert await bench.desk_is_empty()

    async def test_the_head_of_a_chain_is_counted_for_its_end(self, bench: Bench) -> None:
        assert await bench.succeeds(1) is None
        chord = sig("body", task_id=bench.body, link_error=[sig("errback")])
        last = sig("part", task_id="part-0", group_id=bench.group, group_index=0, chord=chord)
        head = replace(bench.part(0, links=Links(chain=[last])), id="head", group=None)
        await bench.write(bench.delivery(head), Certificate(LOST, "why"))
        report = await bench.body_made()
        bench.assert_failed([envelope for _, envelope in report.follow_ups], "WorkerLostError")
        assert await bench.app.result("part-0").astate() == "FAILURE"

    async def test_one_without_a_chord_makes_no_key(self, bench: Bench) -> None:
        await bench.write(bench.delivery(bench.part(0, links=Links())), Certificate(LOST, "why"))
        assert await bench.store.given(bench.group) is None
        assert await bench.succeeds(0) is None
        assert await bench.succeeds(1) is not None

    @pytest.mark.parametrize("expires", [None, 60.0])
    async def test_what_is_counted_for_nobody_expires(
        self, bench: Bench, redis: RedisServer, expires: float | None
    ) -> None:
        """Its head tells of a group, and not that it has no body."""
        bench.app.conf.result_expires = expires
        bench.epitaphs = Epitaphs(bench.app, "here", bench.settling)
        message = replace(bench.part(0, links=Links()), group="plain")
        await bench.write(bench.delivery(message), Certificate(LOST, "why"), TRIES)
        (key,) = redis.command("KEYS", f"{bench.app.main}*meta-plain*").split()
        assert 0 < int(redis.command("TTL", key)) <= (expires or 86400)

    async def test_a_body_that_takes_every_process_down_fails(self, bench: Bench) -> None:
        """And is tried no more."""
        message = bench.part(0)
        joining = Joining(bench.app)
        await bench.store.join(joining.part_of(bench.part(1), State.SUCCESS, 1)._replace(desk=desk_of(bench.app, "q")))
        await bench.store.join(joining.part_of(message, State.SUCCESS, 1)._replace(desk=desk_of(bench.app, "q")))
        certificate = Certificate(JOINED, "the chord is joined")
        await bench.write(bench.delivery(message), certificate)
        assert await bench.app.result(bench.body).astate() == "PENDING"
        await bench.write(bench.delivery(message), certificate, TRIES)
        with pytest.raises(Exception, match="3 processes ended"):
            await bench.app.result(bench.body).aget(timeout=PATIENCE)
        await until(bench.desk_is_empty)


class TestWhatRunnersSettle:
    pytestmark = pytest.mark.server

    @pytest.mark.parametrize("last", [True, False])
    async def test_a_message_that_cannot_be_read_is_a_part_that_has_failed(self, bench: Bench, last: bool) -> None:
        delivery = bench.delivery(bench.part(0))
        broken = delivery._replace(envelope=delivery.envelope._replace(body=b"["))
        if last:
            assert await bench.succeeds(1) is None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("umbel.current.recorder", bench.told.append)
            report = await bench.journey(1, broken)
        assert report.verdict.kind == "dead"
        if last:
            bench.assert_failed([envelope for _, envelope in report.follow_ups], "DecodeError")
        else:
            assert "Dependency part-0 raised DecodeError" in str((await bench.succeeds(1)).values)

    async def test_of_a_revoked_one_that_cannot_be_read_too(self, bench: Bench) -> None:
        assert await bench.succeeds(1) is None
        delivery = bench.delivery(bench.part(0))
        broken = delivery._replace(envelope=delivery.envelope._replace(body=b"["))
        report = await bench.certified(broken, Certificate(TERMINATED, "terminated"))
        bench.assert_failed([envelope for _, envelope in report.follow_ups], "DecodeError")

    async def test_if_no_part_could_be_read_the_log_says_so(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(2):
            delivery = bench.delivery(bench.part(number))
            report = await bench.journey(1, delivery._replace(envelope=delivery.envelope._replace(body=b"[")))
            assert (report.verdict.kind, report.follow_ups) == ("dead", ())
        assert "its body is known to nobody" in caplog.text

    async def test_what_nobody_has_signed_fails_no_chord(self, redis: RedisServer, app: Umbel) -> None:
        app.conf.security_signing_keys = ["a key of more than sixteen bytes"]
        async with working(app) as bench:
            assert await bench.succeeds(1) is None
            report = await bench.journey(1, bench.delivery(bench.part(0)))
            assert (report.verdict.kind, report.follow_ups) == ("dead", ())
            ends = await bench.succeeds(0)
            assert ends.values == [0, 1]

    async def test_one_that_refuses_its_message_for_good_has_failed(self, bench: Bench) -> None:
        def refuses() -> None:
            raise Reject("not today")

        bench.app.task(name="refuses")(refuses)
        assert await bench.succeeds(1) is None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("umbel.current.recorder", bench.told.append)
            patch.setattr(bench.journey, "_call", called)
            report = await bench.journey(1, bench.delivery(bench.part(0, "refuses")))
        assert report.verdict.reason == "not today"
        bench.assert_failed([envelope for _, envelope in report.follow_ups], "Reject('not today'")

    async def test_one_that_umbel_fails_on_has_failed(self, bench: Bench) -> None:
        assert await bench.succeeds(1) is None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("umbel.current.recorder", bench.told.append)
            patch.setattr(bench.journey, "_live", None)
            report = await bench.journey(1, bench.delivery(bench.part(0)))
        assert report.verdict.kind == "dead"
        bench.assert_failed([envelope for _, envelope in report.follow_ups], "TypeError")

    async def test_one_that_has_expired_fails_the_body(self, bench: Bench) -> None:
        assert await bench.succeeds(1) is None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("umbel.current.recorder", bench.told.append)
            report = await bench.journey(1, bench.delivery(bench.part(0, expires=datetime(2020, 1, 1, tzinfo=UTC))))
        bench.assert_failed([envelope for _, envelope in report.follow_ups], "TaskRevokedError")

    async def test_what_was_acknowledged_early_stands_at_a_desk_until_its_body_is_sent(self, bench: Bench) -> None:
        assert await bench.succeeds(1) is None
        report = await bench.certified(bench.delivery(bench.part(0, "early")), Certificate(LOST, "why"))
        bench.assert_failed([envelope for _, envelope in report.follow_ups], "WorkerLostError")
        assert report.joined == [bench.group]
        assert not bench.taken, "whoever has joined it is about to send the body"
        await bench.store.hold(desk_of(bench.app, "q"), [bench.group], 0.0)
        bench.bodies.look()
        bench.told.clear()
        again = await bench.body_made()
        bench.assert_failed([envelope for _, envelope in again.follow_ups], "WorkerLostError")
        (_, first), (_, second) = [*report.follow_ups, *again.follow_ups]
        assert first.id == second.id
        assert RESENT.encode() not in first.head
        assert RESENT.encode() in second.head

    async def test_the_body_that_others_have_left_is_the_one_that_they_would_have_sent(self, bench: Bench) -> None:
        joining, desk = Joining(bench.app), desk_of(bench.app, "q")
        for number in range(2):
            part = joining.part_of(bench.part(number, "early"), State.SUCCESS, number)
            await bench.store.join(part._replace(desk=desk, claim=0.0))
        bench.bodies.look()
        report = await bench.body_made()
        ((route, envelope),) = report.follow_ups
        message = task_v2.decode(envelope, accept=bench.app.accept_content)
        assert (route.queue, message.task, message.id, message.args) == ("celery", "body", bench.body, [[0, 1]])
        assert message.marks == {RESENT: True}

    async def test_what_is_being_sent_is_kept_from_others(self, bench: Bench) -> None:
        part = Joining(bench.app).part_of(bench.part(0), State.SUCCESS, 0)
        await bench.store.expect({bench.group: 1}, None)
        await bench.store.join(part._replace(desk=desk_of(bench.app, "q"), claim=0.0))
        left = bench.bodies.leaving("q", [bench.group])
        bench.bodies.look()
        await anyio.sleep(0.05)
        assert not bench.taken
        left()
        await until(bench.desk_is_empty)
