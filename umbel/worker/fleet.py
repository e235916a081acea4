"""The runners as the node sees them: started, fed, listened to, replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from umbel.app import Umbel
from umbel.worker.endings import Endings
from umbel.worker.epitaphs import Epitaphs
from umbel.worker.habits import Habits
from umbel.worker.hearing import Hearing
from umbel.worker.holding import REVOKED, TERMINATED, TIMED_OUT, TRIES, Certificate, Held, Holding
from umbel.worker.limits import Limits
from umbel.worker.loss import last_start, verdict_on_loss
from umbel.worker.pace import Pace
from umbel.worker.recycling import recycling
from umbel.worker.reports import Reports
from umbel.worker.runners import Runner
from umbel.worker.settler import Report
from umbel.worker.settling import Settling
from umbel.worker.suspects import Suspects

logger = logging.getLogger("umbel.worker")

STALL = 0.025
"""Seconds for which a runner may be busy with one delivery before those behind it are given to others."""


class Fleet:
    """Hands deliveries to runners and takes their reports. The node's loop owns it.

    ``on_lost(runner)`` is called after a runner's end was dealt with, so that the node can start another.
    """

    def __init__(
        self,
        app: Umbel,
        holding: Holding,
        settling: Settling,
        epitaphs: Epitaphs,
        pace: Pace,
        on_lost: Callable[[Runner], None],
        slots: int = 1,
    ) -> None:
        self._app = app
        self._holding = holding
        self._settling = settling
        self._epitaphs = epitaphs
        self._pace = pace
        self._on_lost = on_lost
        self.slots = slots
        """How many deliveries each runner runs at once."""
        self.runners: dict[int, Runner] = {}
        self.changed = asyncio.Event()
        """Set whenever a runner reported or was lost."""
        self.done = 0
        """Deliveries reported so far."""
        self.feeding = True
        self._recycling = recycling(app.conf.worker_max_tasks_per_child, app.conf.worker_max_memory_per_child)
        self.hearing = Hearing(app.conf.worker_deaf_timeout, self._too_deaf)
        self.suspects: Suspects | None = None
        """Told when a runner is free and when a suspect has ended; the node sets it."""
        self.limits = Limits(self._soft_limit, self._hard_limit)
        self.reports = Reports(settling, self.limits)
        """Settles what comes back."""
        self._endings = Endings(self.runners, self._recall)
        self.habits = Habits(app, self.runners)

    @property
    def unsettled(self) -> int:
        """How many deliveries the runners have."""
        return sum(len(runner.assigned) for runner in self.runners.values())

    def add(self, runner: Runner) -> None:
        """A runner was started; it is fed once it says that it is ready."""
        self.runners[runner.number] = runner

    # -- out ----------------------------------------------------------------------------------------------------

    def feed(self) -> None:
        """Give what waits to the runners that have room, an even share to each; a waiting suspect is left one."""
        if not self.feeding:
            return
        if self.slots > 1:
            self._feed_shared()
            return
        if not len(self._holding):
            return
        ahead = self._pace.ahead
        left = len(self.runners)
        keep_one = self._keeps_one
        for idle_first in (True, False) if not keep_one else (True,):
            for runner in self.runners.values():
                load = len(runner.assigned)
                if (load == 0) is not idle_first or not runner.ready or runner.stopping or runner.suspect:
                    continue
                if keep_one:
                    keep_one = False
                    continue
                stalled = load > 0 and runner.board.started <= runner.seen
                room = 0 if stalled else 1 + ahead - load
                if self._recycling is not None:
                    room = self._recycling.allowed(runner, room)
                if room > 0 and (idle_first or room > ahead // 2):
                    share = -(-len(self._holding) // max(1, left))
                    self._give(runner, self._holding.next(min(room, max(1, share))))
                left -= 1

    def _feed_shared(self) -> None:
        """Give what waits to the runner that takes new ones, as its slots become free: no more than those of one, also
        while another one is being replaced."""
        busy = self.unsettled
        for runner in self.runners.values():
            if not runner.ready or runner.stopping or runner.suspect:
                continue
            if self._holding.alone and not runner.assigned and not self.lonely:
                runner.suspect = True
                self._give(runner, [self._holding.alone.popleft()])
                continue
            room = self.slots - busy
            if self._keeps_one:
                room -= 1
            elif runner.board.started > runner.seen or not busy:
                ahead = self._pace.ahead
                room = room + ahead if room + ahead > ahead // 2 else 0
            if self._recycling is not None:
                room = self._recycling.allowed(runner, room)
            if room > 0 and len(self._holding):
                self._give(runner, self._holding.next(room))
                runner.stopping = self._recycling is not None and self._recycling.spent(runner)
                return

    @property
    def _keeps_one(self) -> bool:
        """Whether a suspect needs a runner: none of them waits behind fresh messages for ever."""
        suspects = self.suspects
        return suspects is not None and bool(suspects.waiting) and not suspects.blocked

    @property
    def lonely(self) -> bool:
        """Whether a delivery that must have no neighbours has a runner with many slots to itself."""
        return self.slots > 1 and any(runner.suspect for runner in self.runners.values())

    @property
    def extra(self) -> int:
        """How many runners more than usual are needed: one where a delivery must have no neighbours, now or next."""
        return int(self.lonely or bool(self._holding.alone))

    def reserve(self, most: int) -> list[int]:
        """Keep up to so many idle runners free of anything else; gives their numbers."""
        if not self.feeding:
            return []
        if self.slots > 1:
            free = max(0, self.slots - self.unsettled)
            open_ones = [each for each in self.runners.values() if each.ready and not (each.stopping or each.suspect)]
            return [each.number for each in open_ones[:1]] * min(most, free)
        idle = [each for each in self.runners.values() if each.ready and not (each.stopping or each.assigned)]
        chosen = idle[:most]
        for runner in chosen:
            runner.suspect = True
        return [runner.number for runner in chosen]

    def give_alone(self, number: int, held: Held) -> bool:
        """Give ``held`` to a reserved runner, which gets nothing else until it has reported; False if it is gone.

        Where a runner has many slots, it gets neighbours unless this is its last start.
        """
        runner = self.runners.get(number)
        if runner is None or runner.stopping:
            return False
        if self.slots > 1 and last_start(held, self._app.conf.task_max_starts):
            held.alone = True
            self._holding.put_back([held])
            return True
        self._give(runner, [held])
        return True

    def release(self, numbers: Iterable[int]) -> None:
        """These were reserved and are not needed."""
        if self.slots == 1:
            for number in numbers:
                if number in self.runners:
                    self.runners[number].suspect = False
        self.feed()

    def revoke(self, task_id: str, terminate: bool, cancel: bool = False) -> None:
        """Do not start this task; ``terminate`` stops it if it runs, ``cancel`` asks it to stop by itself."""
        for runner in list(self.runners.values()):
            number = next((n for n, held in runner.assigned.items() if held.delivery.envelope.id == task_id), None)
            if number is None:
                continue
            if number > runner.board.started:
                self._recall(runner)
            if number in runner.assigned:
                if terminate:
                    self._endings.end(runner, number, Certificate(TERMINATED, "terminated"))
                elif cancel:
                    runner.assigned[number].cancelled = True
                    runner.link.flag(number)
                return
        held = self._holding.find(task_id)
        if held is not None and held.certificate is None:
            held.certificate = Certificate(REVOKED, "revoked")
        self.feed()

    def _give(self, runner: Runner, deliveries: list[Held]) -> None:
        jobs = []
        number = runner.given
        runner.given += len(deliveries)
        for held in deliveries:
            number += 1
            runner.assigned[number] = held
            if held.certificate is None:
                jobs.append((number, held.delivery))
                continue
            if jobs:
                runner.link.run(jobs)
                jobs = []
            runner.link.certify(number, held.delivery, held.certify(held.certificate))
        if jobs:
            runner.link.run(jobs)

    def take_back(self, runner: Runner) -> list[Held]:
        """Take from a runner everything that it has not started; it need not answer."""
        started = runner.board.void(runner.given)
        numbers = [number for number in runner.assigned if number > started]
        taken = [runner.assigned.pop(number) for number in numbers]
        if taken and not runner.assigned:
            runner.suspect = False
        return taken

    def _recall(self, runner: Runner) -> None:
        self._holding.put_back(self.take_back(runner))

    def unstall(self) -> None:
        """Give what waits behind a long task to whoever is free. Called every ``STALL`` seconds."""
        for runner in self.runners.values():
            started = runner.board.started
            stalled = bool(runner.assigned) and started == runner.seen
            runner.seen = started if runner.assigned else -1
            if stalled and len(runner.assigned) > runner.slots:
                self._recall(runner)
                self._pace.learn(STALL, 1)
        self.feed()

    # -- in -----------------------------------------------------------------------------------------------------

    def receive(self, runner: Runner, kind: str, payload: Any) -> None:
        """A frame from a runner."""
        if kind == "done":
            self._reported(runner, payload)
        elif kind == "store":
            for record in payload:
                self._settling.record(record)
        elif kind == "notes":
            self._settling.note(payload)
        elif kind == "habit":
            self.habits.learn(runner, payload)
        elif kind == "void":
            self._holding.put_back([runner.assigned.pop(n) for n in payload if n in runner.assigned])
        elif kind == "ack":
            self.reports.acknowledge(runner, payload)
        elif kind == "limits":
            number, soft, hard = payload
            if number in runner.assigned:
                self.limits.watch(runner.number, number, soft, hard)
        elif kind == "heard":
            self.hearing.heard(runner)
        elif kind == "stubborn":
            self._endings.stubborn(runner, payload)
        elif kind == "ready":
            runner.ready = True
            self.habits.greet(runner)
        self._freed()

    def _freed(self) -> None:
        if self.suspects is not None and self.suspects.waiting:
            self.suspects.freed()
        self.feed()
        self.changed.set()

    def _reported(self, runner: Runner, reports: Sequence[Report]) -> None:
        seconds = self.reports.settle(runner, reports, self.suspects)
        if runner.suspect and not runner.assigned:
            runner.suspect = False
        self.done += len(reports)
        runner.done += len(reports)
        if runner.stopping or (self._recycling is not None and self._recycling.due(runner)):
            self.retire(runner)
        if runner.doomed:
            self._endings.reported(runner)
        self._pace.learn(seconds, len(reports))

    def retire(self, runner: Runner) -> None:
        """Let it end after what it runs; what it had not started goes to others."""
        if not runner.stopping:
            runner.stopping = True
            self._recall(runner)
        if not runner.assigned:
            runner.link.stop()

    def retire_one(self) -> None:
        """Let an idle runner end, for there is one more than is needed."""
        for runner in self.runners.values():
            if runner.ready and not (runner.assigned or runner.stopping or runner.suspect):
                self.retire(runner)
                return

    # -- limits -------------------------------------------------------------------------------------------------

    def _soft_limit(self, number: int, delivery: int) -> None:
        runner = self.runners.get(number)
        if runner is not None and delivery in runner.assigned:
            runner.link.interrupt(delivery)

    def _hard_limit(self, number: int, delivery: int) -> None:
        runner = self.runners.get(number)
        if runner is not None and delivery in runner.assigned:
            self._endings.end(runner, delivery, Certificate(TIMED_OUT, "the task ran beyond its hard time limit"))

    def _too_deaf(self, runner: Runner, why: str) -> None:
        self._recall(runner)
        runner.link.kill()
        logger.error("Runner %d (pid %d) %s", runner.number, runner.pid, why)

    # -- loss ---------------------------------------------------------------------------------------------------

    def lost(self, runner: Runner, why: str) -> None:
        """A runner is gone: what it ran is run again or certified, what it had not started goes to others."""
        if self.runners.pop(runner.number, None) is None:
            return
        running = runner.running
        started = runner.board.started
        victims = [runner.assigned.pop(number) for number in running]
        for number, held in zip(running, victims, strict=True):
            self.limits.ended(runner.number, number)
            verdict_on_loss(self._app, held, why, neighbours=len(victims) > 1, innocent=runner.doomed)
        for number, held in runner.assigned.items():
            if number > started:
                break
            held.delivery = held.delivery._replace(redelivered=True)
            # It ended, and its report is lost: what is run at most once is over; another may have ended the runner by
            # its report.
            if held.early or not (victims or runner.doomed):
                verdict_on_loss(self._app, held, why)
        others = list(runner.assigned.values())
        runner.assigned.clear()
        runner.link.kill()
        runner.board.close()
        if victims or others:
            logger.error(
                "Runner %d (pid %d) %s while it ran %s",
                runner.number,
                runner.pid,
                why,
                ", ".join(held.delivery.envelope.id for held in victims) or "nothing",
            )
        for held in [held for held in victims if held.certified >= TRIES]:
            victims.remove(held)
            then = None
            if held.suspect and self.suspects is not None:
                then = partial(self.suspects.ended, {held.delivery.envelope.id: False})
            self._epitaphs.write(held, then)
        self._holding.put_back([*victims, *others])
        self._on_lost(runner)
        self._freed()
