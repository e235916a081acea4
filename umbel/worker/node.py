"""The node: claims deliveries, feeds its runners, settles, and ends in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from umbel import ids
from umbel.app import Umbel
from umbel.errors import StoreError, UmbelError
from umbel.joins import Joins
from umbel.model import REQUEUE, RETURN, Delivery, Settlement
from umbel.ports import Broker, Consumer, CountsStarts, HasBus, Marks, Replies, ResultBackend, Tethered
from umbel.signals import worker_ready
from umbel.spooling import Spooling
from umbel.wire.marks import STARTS
from umbel.worker import systemd
from umbel.worker.bodies import Bodies
from umbel.worker.commands import Commands
from umbel.worker.counts import Counts, MarkedCounts, WrittenCounts
from umbel.worker.encounters import Encounters, came_before
from umbel.worker.epitaphs import Epitaphs
from umbel.worker.fleet import STALL, Fleet
from umbel.worker.holding import LOST, REVOKED, Certificate, Held, Holding
from umbel.worker.mailbox import Mailbox
from umbel.worker.pace import Pace
from umbel.worker.plan import Plan
from umbel.worker.reaching import insist
from umbel.worker.recall import Recall
from umbel.worker.remembering import marks_here
from umbel.worker.revocations import Order, Revocations
from umbel.worker.runners import Runner
from umbel.worker.settling import Settling
from umbel.worker.shortcomings import warn_of_shortcomings
from umbel.worker.shutdown import Shutdown
from umbel.worker.staff import Staff
from umbel.worker.suspects import Suspects

logger = logging.getLogger("umbel.worker")

_IDLE_TICK = 0.1
_FLUSH_DEADLINE = 5.0
_PEERS_DEADLINE = 5.0
"""Seconds that a start waits for what other nodes have revoked."""
_STARTS = STARTS.encode()

DEPARTURE = 5.0
"""Seconds that runners have for what is to be done at their end: lifespans, exit handlers."""


class Starter(Protocol):
    """Starts the runners of a fleet."""

    async def open(self) -> None: ...

    async def start(self) -> None: ...

    def tick(self) -> None: ...

    async def close(self) -> None: ...


class Node:
    """One worker node. ``starter(consumer, fleet)`` makes what starts its runners."""

    def __init__(
        self, app: Umbel, plan: Plan, starter: Callable[[Consumer, Fleet], Starter], on_ready: Callable[[], None] | None
    ) -> None:
        self._app = app
        self._plan = plan
        self._make_starter = starter
        self._on_ready = on_ready
        self.shutdown = Shutdown(plan.name)
        self._holding = Holding()
        self._pace = Pace(plan.multiplier, plan.slots)
        self._prefetch = 0
        self._failure: BaseException | None = None
        self._services: list[asyncio.Task[None]] = []
        self._revocations: Revocations | None = None
        self._suspects: Suspects | None = None
        self._mailbox: Mailbox | None = None
        self._encounters: Encounters | None = None
        self._bodies: Bodies | None = None

    async def serve(self) -> int:
        """Work until told to stop; gives the exit status: 0 after a warm end, 1 after a cold one or a failure."""
        app, plan = self._app, self._plan
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(systemd.watched())
            broker = await stack.enter_async_context(app.broker)
            backend = None if app.result_url is None else await stack.enter_async_context(app.backend)
            for queue in plan.queues:
                declared = app.queues.find(queue)
                await insist(partial(broker.declare, declared), app.conf.broker_connection_max_retries)
            await warn_of_shortcomings((broker, backend))
            self._prefetch = self._pace.prefetch(plan.runners)
            if app.spool is not None:  # what other processes left
                await stack.enter_async_context(Spooling(app.conf.broker_spool, broker))
            consumer = await broker.consume(plan.queues, self._prefetch)
            stack.push_async_callback(consumer.close)
            self._settling = Settling(broker, consumer, backend, app.clock)
            self._epitaphs = Epitaphs(app, plan.name, self._settling)
            self._fleet = Fleet(
                app, self._holding, self._settling, self._epitaphs, self._pace, self._lost, self._plan.slots
            )
            self._recall = Recall(self._holding, self._fleet, self._settling)
            await self._watch_marks(stack, broker, backend, consumer)
            self._listen(broker)
            self._look_up(consumer, backend)
            if isinstance(backend, Joins):
                bodies = Bodies(app, backend, plan.queues, self._hold)
                self._bodies = self._fleet.reports.bodies = self._epitaphs.bodies = bodies
            if isinstance(consumer, Tethered):
                consumer.on_lost(self._recall.lost)
            self._starter = self._make_starter(consumer, self._fleet)
            self._staff = Staff(self._fleet, plan.runners, self._starter.start, self._fail)
            stack.push_async_callback(self._starter.close)
            try:
                await self._start(consumer)
                await self._until_stopped()
            finally:
                clean = await self._end(consumer)
        if self._failure is not None:
            raise self._failure
        return 0 if clean else 1

    async def _watch_marks(
        self, stack: contextlib.AsyncExitStack, broker: Broker, backend: ResultBackend | None, consumer: Consumer
    ) -> None:
        """Know what was revoked before anything is claimed. Where no store keeps marks, this machine does for those who
        hear of it over a bus, and starts are counted on the messages, if their broker can have that; without a bus
        nothing is revoked, and starts are counted while this node lives."""
        app, known = self._app, asyncio.Event()
        shared = broker if isinstance(broker, Marks) else backend
        own = not isinstance(shared, Marks)
        if isinstance(shared, Marks):
            marks: Marks = shared
        elif isinstance(broker, HasBus):
            marks = await marks_here(app.conf, self._plan.state_dir, stack)
        else:
            return
        self._fleet.habits.marks = marks
        counts: Counts = MarkedCounts(marks, app.clock)
        if own and isinstance(consumer, CountsStarts):
            counts = WrittenCounts(consumer)
        known_starts = Suspects(counts, self._fleet, app.conf.task_max_starts)
        self._suspects = self._fleet.suspects = self._recall.suspects = known_starts
        self._revocations = Revocations(marks, app.clock, self._ordered, own=own)
        services = [asyncio.create_task(self._revocations.run(known.set)), asyncio.create_task(self._suspects.run())]
        self._services += services
        waiting = asyncio.create_task(known.wait())
        await asyncio.wait({waiting, *services}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    def _listen(self, broker: Broker) -> None:
        """Take commands from the bus from now on."""
        if self._revocations is None or not isinstance(broker, HasBus):
            return
        commands = Commands(self._plan.name, self._app.clock, self._holding, self._fleet, self._revocations)
        commands.suspects = self._suspects
        own = self._revocations.own
        self._mailbox = Mailbox(self._app, self._plan.name, broker.bus, commands, curious=own)
        self._services.append(asyncio.create_task(self._mailbox.run()))

    def _look_up(self, consumer: Consumer, backend: ResultBackend | None) -> None:
        """What comes again may have its end already, or run elsewhere; a file that has it all knows better."""
        whole = self._settling.whole
        if backend is None or isinstance(backend, Replies) or (whole and not isinstance(consumer, Tethered)):
            return
        node = f"{self._plan.name} {ids.new_id()}"
        known = Encounters(backend, self._app.clock, self._settling, node, self._recall, self._go_on, once=whole)
        self._encounters = self._recall.encounters = known
        self._services += [asyncio.create_task(service) for service in known.services()]

    async def _start(self, consumer: Consumer) -> None:
        self._writing = asyncio.create_task(self._settling.run())
        await self._starter.open()
        await self._staff.open()
        while not any(runner.ready for runner in self._fleet.runners.values()):
            await self._wait_for_change(1.0)
            self._starter.tick()
            if self._failure is not None or self.shutdown.asked:
                return
        if self._mailbox is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._mailbox.informed.wait(), _PEERS_DEADLINE)
        self._services += [asyncio.create_task(self._claim(consumer)), asyncio.create_task(self._tick(consumer))]
        self._services.append(asyncio.create_task(self._fleet.habits.run()))
        if self._bodies is not None:
            self._services.append(asyncio.create_task(self._bodies.run()))
        logger.info("%s ready.", self._plan.name)
        systemd.notify(systemd.READY)
        worker_ready.send(sender=self._plan.name)
        if self._on_ready is not None:
            self._on_ready()

    async def _claim(self, consumer: Consumer) -> None:
        async for deliveries in consumer:
            self._take(deliveries)

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        fresh: list[Delivery] = []
        again: list[Delivery] = []
        revoked = () if self._revocations is None else self._revocations.orders
        for delivery in deliveries:
            if delivery.envelope.id in revoked:
                held = Held(delivery)
                held.certificate = Certificate(REVOKED, "revoked")
                self._holding.take([held])
            elif self._encounters is not None and came_before(delivery):
                again.append(delivery)
            else:
                fresh.append(delivery)
        if again and self._encounters is not None:
            self._encounters.take(again)
        self._go_on(fresh)

    def _go_on(self, deliveries: Sequence[Delivery]) -> None:
        """These are to be run."""
        fresh = []
        for delivery in deliveries:
            if self._suspects is not None and (delivery.redelivered or _STARTS in delivery.envelope.head):
                self._suspects.take([delivery])
            else:
                fresh.append(Held(delivery))
        self._hold(fresh)

    def _hold(self, held: Sequence[Held]) -> None:
        self._holding.take(held)
        self._fleet.feed()

    def _ordered(self, task_id: str, order: Order) -> None:
        """Somebody has revoked this task."""
        self._holding.put_back(Held(delivery) for delivery in self._recall.pull(lambda each: each == task_id))
        self._fleet.revoke(task_id, order.terminate, order.cancel)

    async def _tick(self, consumer: Consumer) -> None:
        while True:
            await asyncio.sleep(STALL if self._fleet.unsettled else _IDLE_TICK)
            self._starter.tick()
            self._staff.tend()
            self._fleet.unstall()
            self._fleet.hearing.tick(self._fleet.runners.values())
            if isinstance(consumer, Tethered):
                self._recall.overdue(consumer)
            prefetch = self._pace.prefetch(self._plan.runners)
            if not self.shutdown.asked and (prefetch > self._prefetch or prefetch < self._prefetch // 2):
                self._prefetch = prefetch
                await consumer.resize(prefetch)

    async def _until_stopped(self) -> None:
        asked = asyncio.create_task(self.shutdown.wait(1))
        try:
            done, _ = await asyncio.wait({asked, self._writing, *self._services}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        for service in done - {asked}:
            self._failure = service.exception() or UmbelError("a service of the worker ended by itself")
            logger.critical("The worker stops: %s", self._failure)

    def _lost(self, runner: Runner) -> None:
        self._staff.lost(runner)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        logger.critical("The worker stops: %s", error)
        self.shutdown.ask()

    # -- the end --------------------------------------------------------------------------------------------------

    async def _end(self, consumer: Consumer) -> bool:
        """Warm: what runs may finish within the grace, the rest goes back. True when nothing had to be cut off."""
        self.shutdown.ask_first()
        systemd.notify(systemd.STOPPING)
        self._staff.close()
        for service in self._services:
            service.cancel()
        with contextlib.suppress(UmbelError):
            await consumer.resize(0)
        fleet = self._fleet
        fleet.feeding = False
        for held in self._holding.empty():
            self._give_back(held)
        self._settling.settle([Settlement(delivery, RETURN) for delivery in self._recall.pull(lambda task_id: True)])
        for runner in fleet.runners.values():
            for held in fleet.take_back(runner):
                self._give_back(held)
        if fleet.unsettled and self.shutdown.stage < 2:
            logger.warning("Waiting up to %g s for %d running task(s) to end", self._plan.grace, fleet.unsettled)
        await self._wait_for_running()
        cut = fleet.unsettled
        cut_off: set[Runner] = set()
        for runner in fleet.runners.values():
            for number in [number for number, held in runner.assigned.items() if held.early]:
                self._give_back(runner.assigned.pop(number), cut=True)
                cut_off.add(runner)
        await self._flush()
        if cut:
            logger.warning("%d task(s) had not ended and are given back", cut)
        if self._suspects is not None:
            with contextlib.suppress(StoreError):  # then the start counts: the next worker is only more careful
                await self._suspects.forgive(self._suspects.running)
        for runner in list(fleet.runners.values()):
            self._dismiss(runner, busy=bool(runner.assigned) or runner in cut_off)
        await self._flush()
        await self._wait_for_departures()
        self._writing.cancel()
        return not cut and self.shutdown.stage < 2

    async def _wait_for_running(self) -> None:
        """Until nothing runs, the grace is over, or somebody asks again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._plan.grace
        while self._fleet.unsettled and self.shutdown.stage < 2 and self._failure is None:
            left = deadline - loop.time()
            if left <= 0:
                return
            for held in self._holding.empty():  # given back by a runner that died or that had been voided too late
                self._give_back(held)
            await self._wait_for_change(min(left, _IDLE_TICK))
            self._starter.tick()

    async def _wait_for_departures(self) -> None:
        """Until the runners that were told to end have done so; not for ever, and not if somebody is in a hurry. A solo
        runner ends with the worker."""
        if self._plan.pool == "solo":
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEPARTURE
        while (
            any(each.ready for each in self._fleet.runners.values())
            and self.shutdown.stage < 2
            and loop.time() < deadline
        ):
            await self._wait_for_change(_IDLE_TICK)
            self._starter.tick()

    def _dismiss(self, runner: Runner, *, busy: bool) -> None:
        runner.stopping = True
        if not busy:
            runner.link.stop()
            return
        runner.link.kill()  # first: what is given back may be started elsewhere at once
        for held in runner.assigned.values():
            self._give_back(held, cut=True)
        runner.assigned.clear()

    def _give_back(self, held: Held, *, cut: bool = False) -> None:
        """To the broker, or settled if its end is known; ``cut`` says that it runs."""
        if held.early and held.certificate is None:
            reason = "the worker was stopped before the task ended, which is not run again (acks_late is off)"
            held.certificate = Certificate(LOST, reason)
        if held.certificate is not None:
            self._epitaphs.write(held)
        else:
            started = cut or held.delivery.redelivered  # by now, or by a runner that died, or before it came here
            self._settling.settle([Settlement(held.delivery, REQUEUE if started else RETURN)])

    async def _flush(self) -> None:
        """Until everything is durable; a store that refuses for too long keeps its claims, and they return later."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _FLUSH_DEADLINE
        while not (self._epitaphs.idle and self._settling.idle) and not self._writing.done():
            if loop.time() > deadline:
                logger.error("The store did not take the last settlements; those tasks will run again")
                break
            await asyncio.sleep(0.005)
        if self._bodies is not None:
            with contextlib.suppress(StoreError):  # then they are sent again, marked
                await self._bodies.tell()

    async def _wait_for_change(self, seconds: float) -> None:
        self._fleet.changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._fleet.changed.wait(), seconds)
