"""Gives an app another broker, another result store and another clock for a while."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from umbel.app import Umbel
from umbel.clock import Clock
from umbel.errors import ConfigurationError
from umbel.ports import Broker, ResultBackend

OWN = frozenset({"broker_url", "result_backend", "task_always_eager"})
"""Settings that a block chooses itself."""

_numbers = itertools.count(1)
_lent: weakref.WeakSet[Umbel] = weakref.WeakSet()
_lock = threading.Lock()
"""Guards ``_lent``, the apps that are lent now."""


def fresh_url() -> str:
    """A memory store that nobody has used."""
    return f"memory://umbel-testing-{next(_numbers)}"


@contextmanager
def borrowed(
    app: Umbel, who: str, broker_url: str, settings: Mapping[str, Any], clock: Clock | None = None
) -> Iterator[None]:
    """Within the block ``app`` publishes to ``broker_url`` and, if it keeps results at all, keeps them there too.

    Its modules are imported before, as a worker does. Afterwards it has the broker, the result store and the clock that
    it had, connections included.

    Raises ``ConfigurationError`` when the app is lent already or a setting is one that the block chooses itself, and
    what ``Settings.update`` raises.
    """
    if refused := OWN & settings.keys():
        raise ConfigurationError(f"{who} chooses {', '.join(sorted(refused))} itself: leave it out")
    with ExitStack() as stack:
        with _lock:
            if app in _lent:
                raise ConfigurationError(
                    f"{who}: {app!r} is inside such a block already, and has one broker at a time: leave that one "
                    "first, or use what it gave"
                )
            _lent.add(app)
        stack.callback(_lent.discard, app)
        app.import_modules()
        keeps = app.result_url is not None
        chosen: dict[str, Any] = {"broker_url": broker_url, "result_backend": broker_url if keeps else None}
        chosen |= {"task_always_eager": False, **settings}
        stack.callback(_restore, app, app.clock, app._broker, app._backend)
        app.clock = clock or app.clock
        app._broker = app._backend = None
        stack.enter_context(app.conf.overridden(chosen, who))
        stack.callback(app.close)
        yield


def _restore(
    app: Umbel, clock: Clock, broker: tuple[str, Broker] | None, backend: tuple[str, ResultBackend] | None
) -> None:
    app.clock, app._broker, app._backend = clock, broker, backend
    app.publisher._forget()
