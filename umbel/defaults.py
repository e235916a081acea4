"""What the settings of an app say of calls that say nothing themselves."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING, NamedTuple, Self

from umbel.ports import Broker, Replies
from umbel.retry import NEVER_AGAIN, PublishRetry
from umbel.routing import Queues, Routes
from umbel.shortcuts import Immediate, Posts
from umbel.wire.redaction import Redaction
from umbel.wiring import App

if TYPE_CHECKING:
    from umbel.spooling import Spooling
    from umbel.wire.protection import Protection


class Defaults(NamedTuple):
    """The settings, and the adapters that they choose, as they were when somebody looked."""

    queue: str
    priority: int | None
    serializer: str
    compression: str | None
    ignore_result: bool
    timeout: float
    zone: tzinfo
    broker: Broker
    form: str
    protection: Protection | None
    redaction: Redaction | None
    routes: Routes | None
    queues: Queues | None
    """None where every name is a queue."""
    retry: PublishRetry
    replies: Replies | None
    """What listens for results where they are sent and not kept."""
    reply_to: str
    immediate: Immediate | None
    """The broker, if it is one."""
    posts: bool
    """Whether the broker takes what many callers send at once."""
    spool: Spooling | None

    @classmethod
    def of(cls, app: App) -> Self:
        """As they are now; makes the adapters, connects nothing."""
        conf = app.conf
        backend = None if app.result_url is None else app.backend
        replies = backend if isinstance(backend, Replies) else None
        return cls(
            conf.task_default_queue,
            conf.task_default_priority,
            conf.task_serializer,
            conf.task_compression,
            conf.task_ignore_result,
            conf.broker_publish_timeout,
            app.timezone,
            app.broker,
            app.broker.form,
            app.protection,
            Redaction(conf.task_redact_args) if conf.task_redact_args else None,
            None if conf.task_routes is None else Routes(conf.task_routes),
            app.queues if conf.task_queues or not conf.task_create_missing_queues else None,
            PublishRetry.of(conf.task_publish_retry_policy) if conf.task_publish_retry else NEVER_AGAIN,
            replies,
            "" if replies is None else replies.reply_to,
            app.broker if isinstance(app.broker, Immediate) else None,
            isinstance(app.broker, Posts),
            app.spool,
        )
