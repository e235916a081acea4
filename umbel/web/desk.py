"""Answers what pages ask of the tasks of their users; knows no web framework."""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import logging
import zlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from umbel import bridge
from umbel.errors import ConfigurationError, EncodeError, PublishError, StoreError
from umbel.model import State
from umbel.progress.hub import Hub, hub_of
from umbel.progress.snapshot import Snapshot
from umbel.result import AsyncResult
from umbel.web import page, stream
from umbel.web.exchange import Answer, Asked, Refused, Unauthenticated, as_json, refusal
from umbel.web.exposing import Exposed, Exposing
from umbel.web.files import file_answer
from umbel.web.tickets import PREFIX, TTL, Ticket, Tickets

logger = logging.getLogger("umbel.web")

MOST_STREAMS = 2000
LONGEST_KEY = 300


class Grant(NamedTuple):
    """Whoever asked may follow the task ``id``, by ``key``, and do what ``can`` says."""

    key: str
    id: str
    can: frozenset[str]


class Desk:
    """What a web application offers its users of the tasks of ``app``.

    With ``secret`` whoever holds a ticket may follow its task; ``user(request)`` gives who asks, for tickets that are
    good for one user. With ``authorize(request, task_id)`` the host decides itself, and tasks are asked for by their
    ids: it gives whether they may be followed, or what else may be done, such as ``{"cancel"}``, and may raise
    ``Unauthenticated``. Both get the framework's request and may be coroutine functions. Without either a desk refuses
    to be made.
    """

    def __init__(
        self,
        app: Any,
        *,
        secret: str | bytes | Sequence[str | bytes] | None = None,
        authorize: Callable[[Any, str], Any] | None = None,
        user: Callable[[Any], Any] | None = None,
        max_streams: int = MOST_STREAMS,
    ) -> None:
        if secret is None and authorize is None:
            raise ConfigurationError(
                "who may follow which task? Give secret=…, for tickets, or authorize=…, a function of the request and "
                "the id of a task"
            )
        self.app = app
        self._tickets = None if secret is None else Tickets(secret)
        self._authorize = authorize
        self._user = user
        self._max_streams = max_streams
        self._streams = 0
        self._exposing = Exposing(app)

    @property
    def hub(self) -> Hub:
        """What follows the tasks."""
        return hub_of(self.app)

    def expose(
        self,
        alias: str,
        task: Any,
        *,
        show_result: bool = False,
        can: Collection[str] = ("cancel",),
        ttl: float = TTL,
        allow: Callable[[Any], Any] | None = None,
    ) -> None:
        """Let pages start ``task``, by POST to ``tasks/{alias}``, with arguments that fit its signature.

        ``show_result`` shows them what it returned; else they see its message alone. ``allow(request)`` says who may;
        by default whoever can reach the address. ``can`` and ``ttl`` are of the ticket that they get. Raises
        ``ConfigurationError``.
        """
        self._exposing.add(alias, Exposed(task, show_result, frozenset(can), ttl, allow))

    def ticket(
        self, result: AsyncResult[Any] | str, *, can: Collection[str] = (), ttl: float = TTL, user: object = None
    ) -> str:
        """A ticket for a task that the program started itself; see ``umbel.web.progress_ticket``.

        Raises ``ConfigurationError`` where there is no ``secret``.
        """
        if self._tickets is None:
            raise ConfigurationError("tickets need secret=…; with authorize=… pages ask by the task's id")
        id = result if isinstance(result, str) else result.id
        owner = None if user is None else str(user)
        return self._tickets.write(Ticket(id, self.app.clock.now() + ttl, tuple(can), owner))

    def openapi(self, base: str = "/umbel/") -> dict[str, Any]:
        """The endpoints as OpenAPI 3.1 describes them, where the face is mounted at ``base``.

        It names the tasks that pages may start, with their arguments; the host decides whether it serves it.
        """
        from umbel.web.describing import describe

        return describe(self._exposing.tasks, base)

    # -- answering

    async def answer(self, asked: Asked) -> Answer:
        """The answer to any request below the prefix. Raises nothing."""
        try:
            return await self._answer(asked)
        except Refused as error:
            return refusal(error)
        except (StoreError, PublishError) as error:
            logger.warning("A page could not be answered: %s", error)
            return refusal(Refused(503, "the tasks cannot be reached at the moment"))
        except Exception:
            logger.exception("umbel failed on %s %s", asked.method, asked.path.split("/")[0])
            return refusal(Refused(500, "this did not work"))

    def answer_now(self, asked: Asked) -> Answer:
        """As ``answer``, for servers that have no loop."""
        return bridge.get().run(self.answer(asked))

    async def _answer(self, asked: Asked) -> Answer:
        parts = asked.path.strip("/").split("/")
        reading = asked.method in ("GET", "HEAD")
        if parts[0] == "tasks" and len(parts) in (2, 3):
            return await self._task(asked, parts[1], parts[2] if len(parts) == 3 else "", reading)
        if len(parts) == 1:
            if parts[0] == "stream":
                _need(reading, "GET")
                return await self._stream(asked)
            if (found := file_answer(asked, parts[0])) is not None:
                _need(reading, "GET")
                return found
        raise Refused(404, "there is nothing here")

    async def _task(self, asked: Asked, name: str, what: str, reading: bool) -> Answer:
        if what == "" and reading:
            return await self._snapshot(asked, name)
        if what == "page" and reading:
            return await self._page(asked, name)
        if what == "" and asked.method == "POST":
            return await self._start(asked, name)
        if what == "cancel" and asked.method == "POST":
            return await self._cancel(asked, name)
        if what in ("", "page", "cancel"):
            raise Refused(405, f"{asked.method} is nothing that can be done here")
        raise Refused(404, "there is nothing here")

    async def _start(self, asked: Asked, alias: str) -> Answer:
        exposed = self._exposing.find(alias)
        self._same_origin(asked, also_programs=self._tickets is not None)
        if exposed.allow is not None and not await _awaited(exposed.allow(asked.native)):
            raise Refused(403, "you may not start this")
        args, kwargs = self._exposing.arguments(exposed, asked)
        owner = await self._owner(asked)
        again = asked.headers.get("idempotency-key")
        once = None if again is None else _named(alias, again, owner)
        try:
            result = await self._exposing.send(exposed, args, kwargs, once)
        except (TypeError, EncodeError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise Refused(422, f"these arguments do not fit: {error}") from None
        key = result.id
        if self._tickets is not None:
            key = self.ticket(result, can=exposed.can, ttl=exposed.ttl, user=owner)
        place = f"{asked.base}tasks/{key}"
        if asked.is_form:
            return Answer(303, b"", (("Location", f"{place}/page"),))
        facts = {"key": key, "status": place, "stream": f"{asked.base}stream?t={key}~0", "page": f"{place}/page"}
        return as_json(202, facts, ("Location", place))

    async def _snapshot(self, asked: Asked, key: str) -> Answer:
        grant = await self._grant(asked, key)
        facts = await self._facts(grant, await self._read(grant.id))
        tag = f'"{facts["seq"]}.{zlib.crc32(json.dumps(facts, default=str).encode()):x}"'
        if asked.headers.get("if-none-match") == tag:
            return Answer(304, b"", (("ETag", tag), ("Cache-Control", "no-cache")))
        return as_json(200, facts, ("ETag", tag))

    async def _page(self, asked: Asked, key: str) -> Answer:
        grant = await self._grant(asked, key)
        facts = await self._facts(grant, await self._read(grant.id))
        return page.answer(asked, facts)

    async def _cancel(self, asked: Asked, key: str) -> Answer:
        grant = await self._grant(asked, key)
        self._same_origin(asked, also_programs=key.startswith(PREFIX))
        if "cancel" not in grant.can:
            raise Refused(403, "this task may not be cancelled by you")
        await AsyncResult(grant.id, self.app).acancel()
        if asked.is_form:
            return Answer(303, b"", (("Location", f"{asked.base}tasks/{key}/page"),))
        return as_json(202, {"key": key, "cancelling": True})

    async def _stream(self, asked: Asked) -> Answer:
        if not asked.streams:
            raise Refused(501, "this server cannot hold streams open: ask again now and then")
        if self._streams >= self._max_streams:
            raise Refused(503, "too many pages are open")
        wanted = asked.parameters("t")
        if not 0 < len(wanted) <= stream.MOST_KEYS:
            raise Refused(400, f"a stream is of 1 to {stream.MOST_KEYS} tasks: t=key~number, once for each")
        told = _cursor(asked.headers.get("last-event-id", ""), len(wanted))
        grants: list[Grant | None] = []
        cursor: list[int] = []
        refused: list[dict[str, Any]] = []
        for place, each in enumerate(wanted):
            key, _, seq = each.partition("~")
            cursor.append(told[place] if told is not None else _number(seq))
            try:
                grants.append(await self._grant(asked, key))
            except Refused as error:
                grants.append(None)
                refused.append({"key": key, "status": error.status, "error": error.text})
        if len(refused) == len(wanted):
            raise Refused(refused[0]["status"], refused[0]["error"])
        places: dict[str, list[tuple[int, stream.Show]]] = {}
        for place, grant in enumerate(grants):
            if grant is not None:
                places.setdefault(grant.id, []).append((place, self._shower(grant)))
        known = await bridge.get().cross(self.hub.read(places))
        if all(snap.final and all(cursor[at] == snap.seq for at, _ in places[id]) for id, snap in known.items()):
            return Answer(204)
        return Answer(200, self._counted(stream.events(self.hub, places, cursor, refused)), stream.HEADERS)

    async def _counted(self, events: Any) -> Any:
        self._streams += 1
        try:
            async for each in events:
                yield each
        finally:
            self._streams -= 1
            await events.aclose()

    def _shower(self, grant: Grant) -> stream.Show:
        async def show(snap: Snapshot) -> Any:
            return await self._facts(grant, snap)

        return show

    # -- what is shown

    async def _read(self, id: str) -> Snapshot:
        return (await bridge.get().cross(self.hub.read([id])))[id]

    async def _facts(self, grant: Grant, snap: Snapshot) -> dict[str, Any]:
        """What whoever holds this grant sees: no arguments, no traceback, no name of a worker or task."""
        facts = {**snap.facts(), "key": grant.key}
        if not snap.final and grant.can:
            facts["can"] = sorted(grant.can)
        if snap.final and snap.state == State.SUCCESS and self._exposing.shows_result(snap.task):
            record = await AsyncResult(grant.id, self.app).arecord() if self.app.result_url is not None else None
            if record is not None and record.state == State.SUCCESS:
                facts["result"] = record.value
        return facts

    # -- who may

    async def _grant(self, asked: Asked, key: str) -> Grant:
        if not key or len(key) > LONGEST_KEY * 8:
            raise Refused(404, "there is no such task")
        if self._tickets is not None and key.startswith(PREFIX):
            ticket = self._tickets.read(key, self.app.clock.now())
            if ticket.user is not None:
                owner = await self._owner(asked)
                if owner is None:
                    raise Refused(401, "log in first")
                if owner != ticket.user:
                    raise Refused(403, "this is somebody else's")
            return Grant(key, ticket.id, frozenset(ticket.can))
        if self._authorize is None:
            raise Refused(403, "this is no ticket")
        if len(key) > LONGEST_KEY or not key.isprintable():
            raise Refused(404, "there is no such task")
        try:
            allowed = await _awaited(self._authorize(asked.native, key))
        except Unauthenticated:
            raise Refused(401, "log in first") from None
        if not allowed and not isinstance(allowed, (set, frozenset, tuple, list)):
            raise Refused(403, "this is somebody else's")
        return Grant(key, key, frozenset() if allowed is True else frozenset(allowed))

    async def _owner(self, asked: Asked) -> str | None:
        if self._user is None:
            return None
        try:
            user = await _awaited(self._user(asked.native))
        except Unauthenticated:
            return None
        return None if user is None else str(user)

    def _same_origin(self, asked: Asked, *, also_programs: bool) -> None:
        """Refuse what another site's page sends in the name of this one's user."""
        same = asked.same_origin
        if same is False or (same is None and not also_programs):
            raise Refused(403, "this can be done by pages of this site only")


def _need(condition: bool, method: str) -> None:
    if not condition:
        raise Refused(405, f"only {method} can be done here")


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _cursor(text: str, places: int) -> list[int] | None:
    """The numbers of an event's id, if it is one of a stream of so many tasks."""
    numbers = text.split(",")
    return [_number(each) for each in numbers] if text and len(numbers) == places else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _named(alias: str, key: str, owner: str | None) -> str:
    """What names one call that a page sends under a key of its own, of that user's."""
    digest = hashlib.sha256(json.dumps([alias, key, owner]).encode()).digest()
    return base64.urlsafe_b64encode(digest[:18]).decode()
