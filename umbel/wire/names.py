"""The names that are fixed by others: queues, headers, and the modules of exceptions as they stand on the wire."""

from __future__ import annotations

from umbel import errors

DEFAULT_QUEUE = "celery"
"""Where a message goes that is not routed elsewhere, on every broker."""

DELAYED = "celery_delayed_delivery"
"""The exchange, on RabbitMQ, at the foot of Celery's own ladder of delays."""

KEY_SEPARATOR = "\x06\x16"
"""Between the name of a queue and a step of priority, and between the parts of a binding, in Redis."""

PRIORITY_STEPS = (0, 3, 6, 9)
"""The priorities that have a list of their own in Redis, 0 the most urgent."""

RECORD = "celery-task-meta-"
"""Before the id of a task: the key of its record in Redis, and the channel on which it is told."""

GROUP_RECORD = "celery-taskset-meta-"
"""Before the id of a group: the keys in Redis by which its chord is counted."""

GROUP_KEYS = (".j", ".s", ".t")
"""After it: the ends of the parts, how many parts there are, and how many more."""

BINDINGS = "_kombu.binding."
"""Before the name of an exchange: the key of the set of its queues in Redis."""

HEADERS = (
    "lang",
    "task",
    "id",
    "shadow",
    "eta",
    "expires",
    "group",
    "group_index",
    "retries",
    "timelimit",
    "root_id",
    "parent_id",
    "argsrepr",
    "kwargsrepr",
    "origin",
    "ignore_result",
    "replaced_task_nesting",
    "stamped_headers",
    "stamps",
)
"""The headers of a task message, all always sent, in this order."""

RESERVED_HEADERS = frozenset({*HEADERS, "compression"})
"""Headers that say something of the message itself: a user's header cannot have such a name."""

FOREIGN_HEADERS = frozenset(
    {
        "meth",
        "utc",
        "groups",
        "x-death",
        "x-delivery-count",
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-last-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
    }
)
"""Headers that old senders or the broker add to a message: they are nobody's own and not sent on."""

PROPERTIES = frozenset(
    {
        "correlation_id",
        "reply_to",
        "priority",
        "expiration",
        "headers",
        "application_headers",
        "content_type",
        "content_encoding",
        "delivery_info",
        "delivery_tag",
        "body_encoding",
    }
)
"""Properties that follow from the message or belong to one delivery; any other is the user's own."""

LINKS = ("callbacks", "errbacks", "chain", "chord")
"""The keys of the third part of a body, in this order."""

CHAIN = "celery.chain"
GROUP = "celery.group"
CHORD = "celery.chord"
"""What a signature names in place of a task when it stands for several."""

_CELERY = "celery.exceptions"
_BILLIARD = "billiard.exceptions"
_KOMBU = "kombu.exceptions"

EXCEPTION_MODULES: dict[str, str] = {
    errors.NotRegistered.__name__: _CELERY,
    errors.TaskRevokedError.__name__: _CELERY,
    errors.TimeoutError.__name__: _CELERY,
    errors.ChordError.__name__: _CELERY,
    errors.MaxRetriesExceededError.__name__: _CELERY,
    errors.Retry.__name__: _CELERY,
    errors.Ignore.__name__: _CELERY,
    errors.Reject.__name__: _CELERY,
    errors.SecurityError.__name__: _CELERY,
    errors.WorkerLostError.__name__: _BILLIARD,
    errors.EncodeError.__name__: _KOMBU,
    errors.ContentDisallowed.__name__: _KOMBU,
}
"""The module that an error of ``umbel.errors`` has on the wire, where it is not its own."""
