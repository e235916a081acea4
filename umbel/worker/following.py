"""Has what follows a task happen: callbacks, error callbacks, the rest of its chain, the body of its chord."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from umbel import current
from umbel.app import Umbel
from umbel.attempt import failed
from umbel.call import NO_OPTIONS, CallOptions
from umbel.declared import Declared
from umbel.errors import ChordError, EncodeError, Reject, SignatureError, TaskRevokedError, UmbelError
from umbel.handlers import Call
from umbel.model import (
    Delivery,
    Envelope,
    Failed,
    Links,
    Message,
    Outcome,
    Rejected,
    Revoked,
    Route,
    SealedRecord,
    State,
    Succeeded,
)
from umbel.request import Request
from umbel.task import Task
from umbel.wire import signatures
from umbel.wire.marks import RESENT
from umbel.wire.signatures import Step
from umbel.worker.joining import Ends, Joining
from umbel.worker.settler import NOTHING, Sequel, Settler

logger = logging.getLogger("umbel.worker")


class Following:
    """Makes messages of the links of others; keeps nothing of any task.

    ``call`` calls error callbacks that take the exception; without it, they are not called. ``record`` takes the
    records of tasks that never run; by default they go the way of those of a running task. Without ``joining`` no chord
    can be followed.
    """

    def __init__(
        self,
        app: Umbel,
        settler: Settler,
        call: Call | None,
        record: Callable[[SealedRecord], None] | None = None,
        joining: Joining | None = None,
    ) -> None:
        self._app = app
        self._settler = settler
        self._call = call
        self._record = record
        self._joining = joining

    @property
    def _joiner(self) -> Joining | None:
        return self._joining if self._joining is not None and self._joining.possible else None

    def check(self, message: Message) -> None:
        """Raise what stands against following this message, before it is run: ``DecodeError``, ``NoResultBackend``
        where a chord is in the way, ``ConfigurationError`` for options that no call has."""
        groups: dict[str, int] | None = None if self._joiner is None else {}
        steps = signatures.after_success(message, None, groups)
        steps += [step for step, _ in signatures.after_failure(message, groups)]
        if message.links.chord is not None and groups is not None:
            signatures.body_left_out(message)
            steps += signatures.body_of(message, (), groups)
        for step in steps:
            self._app.publisher.queue_of(step.task, self._options(step))

    async def after(
        self,
        task: Declared,
        request: Request,
        message: Message,
        outcome: Outcome,
        *,
        timed_out: bool = False,
        bare: bool = False,
    ) -> tuple[Outcome, Sequel]:
        """The outcome, and what follows it; ``bare`` calls no error callback here.

        A success whose value or follow-ups cannot be written becomes a failure, and the message is kept, so that its
        workflow can be taken up again.
        """
        delivery, bury, early = request.delivery, None, not self._settler.acks_late(task)
        if delivery is None or (timed_out and not self._settler.acks_failures(task)):
            return outcome, NOTHING
        if delivery.redelivered:
            message = replace(message, marks={**message.marks, RESENT: True})
        if isinstance(outcome, Succeeded):
            try:
                groups: dict[str, int] | None = None if self._joiner is None else {}
                steps = signatures.after_success(message, outcome.value, groups)
                pairs = [self._pair(step, delivery) for step in steps]
                request.children += [envelope.id for _, envelope in pairs]
                self._settler.proven(task, request, outcome)
                if groups and self._joiner is not None:
                    await self._joiner.expect(groups)
                joined: Sequence[str] = ()
                if message.links.chord is not None:
                    last = await self._part_ended(request, message, State.SUCCESS, outcome.value, bare, early)
                    pairs, joined = [*pairs, *last.follow_ups], last.joined
                return outcome, Sequel(pairs, joined=joined)
            except UmbelError as error:
                wrong = EncodeError(f"what follows {task.name} cannot be sent, or its result not be stored: {error}")
                outcome, bury = failed(wrong, task), str(wrong)
                request.children.clear()
        if isinstance(outcome, Failed):
            left = await self.leave_out(request, message, outcome.error, bare=bare, early=early)
            pairs = await self._after_failure(request, message, outcome, bare)
            request.children += [envelope.id for _, envelope in pairs]
            return outcome, Sequel([*pairs, *left.follow_ups], bury or left.bury, left.joined)
        if isinstance(outcome, Revoked):
            revoked = TaskRevokedError(outcome.reason)
            return outcome, await self.leave_out(request, message, revoked, State.REVOKED, bare=bare, early=early)
        if isinstance(outcome, Rejected) and not outcome.requeue and message.links.chord is not None:
            part = replace(message, links=Links(chord=message.links.chord))
            return outcome, await self.leave_out(request, part, Reject(outcome.reason), bare=bare, early=early)
        return outcome, NOTHING

    async def leave_out(
        self,
        request: Request,
        message: Message,
        error: BaseException,
        state: State = State.FAILURE,
        *,
        bare: bool = False,
        early: bool = False,
    ) -> Sequel:
        """Tell whoever waits for the rest of the chain, and the chords that wait for a part; gives what follows that,
        and why the message must be kept, if it must. ``early``: its message cannot come again."""
        waiting, parts = signatures.left_out(message)
        record = self._record or current.recorder
        for each in waiting:
            sealed = self._settler.left_out(each, message, state, error)
            if sealed is not None and record is not None:
                record(sealed)
        if not parts:
            return NOTHING
        if self._joiner is None:
            return Sequel(
                (), "a chord waits for the end of its chain, and no result store here can tell it of this end"
            )
        pairs: list[tuple[Route, Envelope]] = []
        joined: list[str] = []
        for part in parts:
            try:
                last = await self._part_ended(request, part, state, error, bare, early)
            except UmbelError as wrong:
                logger.error("The chord of %s[%s] is not told of its end: %s", part.task, part.id, wrong)
                return Sequel(pairs, f"the chord that waits for it is not told of its end: {wrong}", joined)
            pairs += last.follow_ups
            joined += last.joined
        return Sequel(pairs, joined=joined)

    async def unread(self, request: Request, error: Exception) -> Sequel:
        """Tell the chord of which the delivery of ``request`` is a part, as its head says, that it has failed, because
        nobody can read it. Never raises."""
        delivery = request.delivery
        if self._joiner is None or delivery is None or isinstance(error, SignatureError):
            return NOTHING
        try:
            found = await self._joiner.end_unread(delivery.envelope, error)
            return NOTHING if found is None else await self._body(request, found, False, False)
        except Exception:
            logger.exception("The chord of [%s] is not told that it has failed", delivery.envelope.id)
            return NOTHING

    async def again(self, request: Request, part: Message, bare: bool) -> Sequel:
        """What follows a chord of which this part was the last, and whoever was to send it has gone."""
        part = replace(part, marks={**part.marks, RESENT: True})
        joiner, group = self._joiner, [part.group or ""]
        found = None if joiner is None else await joiner.again(part)
        if found is None:
            return Sequel(joined=group)
        try:
            sequel = await self._body(request, found, bare, True)
        except UmbelError as error:
            wrong = ChordError(f"it cannot be sent: {error}")
            sequel = await self._body(request, found._replace(values=wrong), bare, True)
        return sequel._replace(joined=[*group, *sequel.joined])

    async def _part_ended(
        self, request: Request, part: Message, state: State, value: Any, bare: bool, early: bool
    ) -> Sequel:
        """What follows the end of a part of a chord, if it is the last; ``request`` is of the task that ended."""
        joiner, delivery = self._joiner, request.delivery
        assert joiner is not None
        assert delivery is not None
        found = await joiner.end(part, state, value, delivery.queue, early)
        if found is None:
            return NOTHING
        sequel = await self._body(request, found, bare, early)
        return sequel._replace(joined=[part.group or "", *sequel.joined]) if early else sequel

    async def _body(self, request: Request, ends: Ends, bare: bool, early: bool) -> Sequel:
        """The body of a chord, or what follows if it is not run."""
        joiner, delivery = self._joiner, request.delivery
        assert joiner is not None
        assert delivery is not None
        if not isinstance(ends.values, ChordError):
            groups: dict[str, int] = {}
            pairs = [self._pair(step, delivery) for step in signatures.body_of(ends.part, ends.values, groups)]
            await joiner.expect(groups)
            return Sequel(pairs)
        body, found = signatures.body_left_out(ends.part), ends.values
        logger.error("The body %s[%s] of a chord is not run: %s", body.task, body.id, found)
        as_body = Request(body, delivery, hostname=request.hostname)
        left = await self.leave_out(as_body, body, found, bare=bare, early=early)
        pairs = await self._after_failure(as_body, body, Failed(found), bare)
        return left._replace(follow_ups=[*pairs, *left.follow_ups], bury=None)

    async def _after_failure(
        self, request: Request, message: Message, outcome: Failed, bare: bool
    ) -> list[tuple[Route, Envelope]]:
        """The error callbacks that are sent; those that are called here are."""
        assert request.delivery is not None
        groups: dict[str, int] | None = None if self._joiner is None else {}
        pairs = [
            self._pair(step, request.delivery)
            for step, signature in signatures.after_failure(message, groups)
            if not await self._called(step, signature, request, message, outcome, bare)
        ]
        if groups and self._joiner is not None:
            await self._joiner.expect(groups)
        return pairs

    async def _called(
        self, step: Step, signature: Mapping[str, Any], request: Request, message: Message, outcome: Failed, bare: bool
    ) -> bool:
        """Whether the error callback is one that is called here, with request, exception and traceback: one that takes
        several arguments is. What it raises is logged, and that it is left out."""
        task = self._app.tasks.get(step.task)
        if task is None or step.task != signature["task"] or not _takes_several(task):
            return False
        if bare or self._call is None:
            logger.error(
                "The error callback %s of %s[%s] is not called: it takes the exception, and no process is left to "
                "call it in",
                step.task,
                message.task,
                message.id,
            )
            return True
        args = (request, outcome.error, outcome.traceback, *signature["args"])
        try:
            await self._call(_Errback(task), replace(message, args=args, kwargs=signature["kwargs"]))
        except Exception:
            logger.exception("The error callback %s of %s[%s] raised", step.task, message.task, message.id)
        return True

    def _pair(self, step: Step, delivery: Delivery) -> tuple[Route, Envelope]:
        """The step as a message that goes where its task's calls go."""
        route, message = self._app.publisher.prepare(step.task, step.args, step.kwargs, self._options(step))
        message, form = step.of(message), delivery.envelope.form
        if step.priority is not None:
            priority = signatures.urgency(step.priority, form)
            route, message = route._replace(priority=priority), replace(message, priority=priority)
        return self._settler.sent_on(route, message, form)

    def _options(self, step: Step) -> CallOptions:
        options = NO_OPTIONS.with_(**step.options)
        task = self._app.tasks.get(step.task)
        return options if task is None else task.resolved(options)


class _Errback:
    """An error callback in the place of the task that failed."""

    def __init__(self, task: Task[..., Any]) -> None:
        self.name = task.name
        self.is_async = task.is_async
        self.run = task.run


def _takes_several(task: Task[..., Any]) -> bool:
    """Whether its function, which is not bound, takes more than one positional argument."""
    if not isinstance(inspect.getattr_static(type(task), "run", None), staticmethod):
        return False
    parameters = inspect.signature(task.run).parameters.values()
    several = inspect.Parameter.VAR_POSITIONAL
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return any(each.kind is several for each in parameters) or sum(each.kind in plain for each in parameters) > 1
