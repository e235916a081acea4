"""The tasks that pages may start, and how their requests become calls."""

from __future__ import annotations

import inspect
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_type_hints

from umbel import bridge
from umbel.errors import ConfigurationError
from umbel.ports import Mark
from umbel.result import AsyncResult
from umbel.revoking import find_marks
from umbel.web.exchange import Asked, Refused

MOST_BYTES = 1 << 20
"""Of the arguments of one call."""

ONCE_KEPT = 86400.0
"""Seconds for which a second request under the same key gets the first one's task."""

LONGEST_ONCE = 255

_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Exposed(NamedTuple):
    """A task that pages may start; see ``Desk.expose``."""

    task: Any
    show_result: bool
    can: frozenset[str]
    ttl: float
    allow: Callable[[Any], Any] | None


class Exposing:
    """Those of one application, by alias."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._by_alias: dict[str, Exposed] = {}

    def add(self, alias: str, exposed: Exposed) -> None:
        """Raises ``ConfigurationError`` for an alias that no address can hold, or that another task has."""
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias) or alias.startswith("tk_"):
            raise ConfigurationError(
                f"expose: {alias!r} must be letters, digits, '.', '_' and '-', and not begin with tk_"
            )
        if alias in self._by_alias:
            raise ConfigurationError(f"expose: {alias!r} is taken by {self._by_alias[alias].task!r}")
        if not hasattr(exposed.task, "aapply_async"):
            raise ConfigurationError(f"expose takes a task, not {exposed.task!r}")
        self._by_alias[alias] = exposed

    @property
    def tasks(self) -> Mapping[str, Exposed]:
        """All of them, by alias."""
        return self._by_alias

    def find(self, alias: str) -> Exposed:
        """Raises ``Refused``."""
        exposed = self._by_alias.get(alias)
        if exposed is None:
            raise Refused(404, "no task of this name can be started here")
        return exposed

    def shows_result(self, task: str | None) -> bool:
        """Whether pages may see what the task of this name returned."""
        return any(each.show_result and each.task.name == task for each in self._by_alias.values())

    def arguments(self, exposed: Exposed, asked: Asked) -> tuple[list[Any], dict[str, Any]]:
        """Those of the request's body: a form, or JSON, an object by name or a list by position. Raises ``Refused``."""
        if len(asked.body) > MOST_BYTES:
            raise Refused(413, f"the arguments are larger than {MOST_BYTES} bytes")
        if asked.is_form:
            return [], _typed(exposed.task, asked.form())
        if not asked.body.strip():
            return [], {}
        if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(415, "send a form, or JSON as application/json")
        try:
            given = json.loads(asked.body)
        except (ValueError, RecursionError):
            raise Refused(400, "this is not JSON") from None
        if isinstance(given, dict):
            return [], given
        if isinstance(given, list):
            return given, {}
        raise Refused(422, "the arguments are an object, by name, or a list, by position")

    async def send(
        self, exposed: Exposed, args: list[Any], kwargs: dict[str, Any], once: str | None
    ) -> AsyncResult[Any]:
        """Send the call; with ``once`` only if none was sent under that name lately, else give that one's result.

        Raises as ``Task.apply_async``.
        """
        task = exposed.task
        task.check(args, kwargs)
        if once is None:
            result: AsyncResult[Any] = await task.aapply_async(args, kwargs)
            return result
        if len(once) > LONGEST_ONCE:
            raise Refused(400, "the Idempotency-Key is too long")
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"umbel {task.name} {once}"))
        if await bridge.get().cross(self._first(f"once:{once}", id)):
            await task.aapply_async(args, kwargs, task_id=id)
        return AsyncResult(id, self._app)

    async def _first(self, key: str, id: str) -> bool:
        """Whether nobody has sent under this name. Where no store keeps marks, everybody is the first."""
        app, way = self._app, bridge.get()
        await way.entered(app.broker)
        if app.result_url is not None:
            await way.entered(app.backend)
        marks = find_marks(app)
        if marks is None:
            return True
        return bool(await marks.put_marks_if_absent([Mark(key, id, app.clock.now() + ONCE_KEPT)]))


def _typed(task: Any, fields: dict[str, str]) -> dict[str, Any]:
    """The fields of a form as the task's annotations have them. Raises ``Refused``."""
    body = inspect.unwrap(task.run)
    try:
        hints = get_type_hints(body)
    except (NameError, TypeError):
        hints = {}
    return {name: _converted(name, value, hints.get(name)) for name, value in fields.items()}


def _converted(name: str, value: str, kind: Any) -> Any:
    if kind is bool:
        return value.lower() in ("1", "true", "on", "yes")
    if kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            raise Refused(422, f"{name} must be a number") from None
    return value
