"""What an app tells of its own life: that it is configured, complete, and in a forked process."""

from __future__ import annotations

import functools
import os
from typing import Any

from umbel import current
from umbel.signals import Signal


class Lifecycle:
    """The signals of one app; their sender is the app. A subclass may write ``on_configure`` as a method instead."""

    finalized: bool = False
    """Whether ``finalize`` was called."""

    @functools.cached_property
    def on_configure(self) -> Signal:
        """Sent before the settings are read for the first time: the last moment to add a source of them."""
        return Signal("on_configure")

    @functools.cached_property
    def on_after_configure(self) -> Signal:
        """Sent when the settings have been read for the first time; ``source`` is ``app.conf``."""
        return Signal("on_after_configure", "source")

    @functools.cached_property
    def on_after_finalize(self) -> Signal:
        """Sent by ``finalize``."""
        return Signal("on_after_finalize")

    @functools.cached_property
    def on_after_fork(self) -> Signal:
        """Sent in a process that was forked from one with this app, before anything else happens there."""
        return Signal("on_after_fork")

    def finalize(self) -> None:
        """Say that every task is declared; once, further calls do nothing. A worker does when it has imported all."""
        if not self.finalized:
            self.finalized = True
            self.tell("on_after_finalize")

    def tell(self, name: str, **arguments: Any) -> None:
        """Send the signal of that name, or call the method that a subclass has in its place."""
        hook = getattr(self, name)
        if isinstance(hook, Signal):
            hook.send(sender=self, **arguments)
        else:
            hook()


def _forked() -> None:
    for app in current.apps():
        app.tell("on_after_fork")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
