"""What the name among the ``INSTALLED_APPS`` does: the site has an app, and its calls know of commits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.db import close_old_connections, connections, transaction

from umbel import current, signals


class UmbelConfig(AppConfig):  # type: ignore[misc]
    """Makes the site's app once Django has loaded."""

    name = "umbel.contrib.django"
    label = "umbel"

    def ready(self) -> None:
        """Called by Django, once a process."""
        current.after_commit = after_commit
        signals.worker_process_init.connect(_forget_connections, weak=False)
        signals.task_prerun.connect(_close_old_connections, weak=False)
        signals.task_postrun.connect(_close_old_connections, weak=False)
        from umbel.contrib.django import site  # noqa: F401  here the app is made, unless it is being made already


def after_commit(send: Callable[[], object], using: str | None) -> None:
    """Have ``send`` called when the transaction of that database is committed; at once where there is none."""
    transaction.on_commit(send, using=using)


def _forget_connections(**_: Any) -> None:
    """A runner is forked: connections that its parent had open are not its own."""
    for connection in connections.all(initialized_only=True):
        connection.connection = None


def _close_old_connections(**_: Any) -> None:
    """As Django does around every request: what is broken or older than ``CONN_MAX_AGE`` is opened anew."""
    close_old_connections()
