"""The thread that does one consumer's work on the file, so that no event loop ever waits for a lock."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from umbel.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreUnsuitable
from umbel.model import Delivery, Settlement
from umbel.stores.sqlite.claims import Claims, PresenceLost

logger = logging.getLogger("umbel.stores")

CHORES = 0.5
"""Seconds between two looks at what is not urgent: dead nodes, the heartbeat, the log."""

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds to wait after the store refused, doubled each time."""

COMPLAINTS = 60.0
"""Seconds between two log lines while the store goes on refusing."""


class Request(NamedTuple):
    """Settlements of one call, with whatever the caller knows the call by."""

    settlements: Sequence[Settlement]
    call: object


class Report(NamedTuple):
    """What a turn brought: deliveries, and the end of each call with its error if it has one."""

    deliveries: list[Delivery]
    calls: list[tuple[object, BaseException | None]]


NOTHING = Report([], [])
"""What is told now and then to learn whether somebody still listens."""


class Clerk:
    """A thread with the claims of one consumer; its methods are called from the consumer's loop.

    ``report`` is called in the clerk's thread, and returns False when nobody listens any more; ``ended`` is called
    once, last, with the error that nobody foresaw, if there was one.
    """

    def __init__(
        self,
        claims: Claims,
        prefetch: int,
        report: Callable[[Report], bool],
        ended: Callable[[BaseException | None], None],
    ) -> None:
        self._claims = claims
        self._prefetch = prefetch
        self._report = report
        self._ended = ended
        self._requests: deque[Request] = deque()
        self._lookout = claims.lookout
        self._claiming = False
        self._leaving = False
        self._pause = 0.0
        self._retry_at = 0.0
        self._next_complaint = 0.0
        self._next_chores = 0.0
        self._thread = threading.Thread(target=self._run, name=f"umbel-consumer {claims.store.path}", daemon=True)

    # -- called from the loop

    def start(self) -> None:
        self._thread.start()

    def claim(self) -> None:
        """From now on claim, where before only settlements were done."""
        if not self._claiming:
            self._claiming = True
            self._lookout.ring()

    def settle(self, request: Request) -> None:
        self._requests.append(request)
        self._lookout.ring()

    def resize(self, prefetch: int) -> None:
        self._prefetch = prefetch
        self._lookout.ring()

    def leave(self) -> None:
        """Do the settlements that were asked for, give back the rest, and end."""
        self._leaving = True
        self._lookout.ring()

    # -- the thread

    def _run(self) -> None:
        error: BaseException | None = None
        self._claims.store.listen(self._lookout.ring)
        try:
            while self._requests or not self._leaving:
                self._step()
        except BaseException as unforeseen:  # noqa: BLE001 - it is raised again in the task that iterates
            error = unforeseen
        self._claims.store.unlisten(self._lookout.ring)
        try:
            self._claims.leave()
        except StoreError as refusal:
            logger.warning("could not give back what was claimed; another node will take it over: %s", refusal)
        except BaseException as unforeseen:  # noqa: BLE001 - the same
            error = error or unforeseen
        self._ended(error)

    def _step(self) -> None:
        requests = self._drain()
        try:
            if requests:
                self._turn(requests)
            elif time.monotonic() >= self._next_chores:
                self._do_chores()
            elif not self._may_claim():
                self._lookout.rest(self._until_chores())
            elif self._claims.look():
                self._turn([])
            else:
                self._recovered()
                self._lookout.wait(self._until_due())
        except (StoreDamaged, StoreUnsuitable):
            raise
        except StoreError as error:
            self._refused(error)

    def _drain(self) -> list[Request]:
        return [self._requests.popleft() for _ in range(len(self._requests))]

    def _may_claim(self) -> bool:
        return self._claiming and not self._leaving and self._claims.held < self._prefetch and self._rested()

    def _rested(self) -> bool:
        return not self._pause or time.monotonic() >= self._retry_at

    def _until_chores(self) -> float:
        """Seconds until there is something to do, work apart."""
        moment = self._next_chores if self._rested() else min(self._next_chores, self._retry_at)
        return moment - time.monotonic()

    def _until_due(self) -> float:
        """The same, or until the next message comes due."""
        due = self._claims.until_due()
        return self._until_chores() if due is None else min(self._until_chores(), due)

    def _turn(self, requests: list[Request]) -> None:
        settlements = [settlement for request in requests for settlement in request.settlements]
        prefetch = self._prefetch if self._claiming and not self._leaving and self._rested() else 0
        try:
            batch = self._claims.turn(settlements, prefetch)
        except PresenceLost:
            # What these calls were about is no longer held, and so they change nothing.
            self._tell(Report([], [(request.call, None) for request in requests]))
            self._start_anew()
        except Exception as error:
            if not requests:
                raise
            self._settle_apart(requests, error)
        else:
            self._recovered()
            if batch or requests:
                self._lookout.stir()
                self._tell(Report(batch, [(request.call, None) for request in requests]))

    def _settle_apart(self, requests: list[Request], error: Exception) -> None:
        """Find the call that cannot be settled, so that the others are; a store that takes nothing fails them all."""
        if len(requests) > 1 and not isinstance(error, StoreBusy | StoreFull | StoreDamaged):
            for request in requests:
                self._turn([request])
            return
        self._tell(Report([], [(request.call, error) for request in requests]))
        if isinstance(error, StoreError):
            self._refused(error)

    def _start_anew(self) -> None:
        self._claims.register()
        logger.error("%s: this node was taken for dead, or the file replaced: starting anew", self._claims.store.path)

    def _do_chores(self) -> None:
        self._next_chores = time.monotonic() + CHORES
        self._tell(NOTHING)
        try:
            self._claims.chores()
        except PresenceLost:
            self._start_anew()

    def _tell(self, report: Report) -> None:
        if not self._report(report):
            self._leaving = True

    # -- refusals

    def _refused(self, error: StoreError) -> None:
        now = time.monotonic()
        if now >= self._next_complaint:
            self._next_complaint = now + COMPLAINTS
            logger.warning("the store refuses; trying again until it does not: %s", error)
        if isinstance(error, StoreFull):
            self._claims.make_room()
        self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        self._retry_at = now + self._pause

    def _recovered(self) -> None:
        if self._pause:
            logger.warning("the store works again: %s", self._claims.store.path)
            self._pause = 0.0
            self._next_complaint = 0.0
