"""Settings of calls: where they go, how they are written, and how often they are offered to the broker."""

from __future__ import annotations

from umbel.settings.kinds import FLAG, TEXT, choice, optional, whole
from umbel.settings.option import Option
from umbel.settings.routes import QUEUES, RETRY_POLICY, ROUTES
from umbel.wire.names import DEFAULT_QUEUE

OPTIONS = (
    Option("task_routes", optional(ROUTES), None, "Where calls go that name no queue, and whose tasks name none."),
    Option("task_default_queue", TEXT, DEFAULT_QUEUE, "The queue of a call that is routed nowhere."),
    Option("task_queues", QUEUES, (), "The queues that a worker takes tasks from, besides task_default_queue."),
    Option(
        "task_default_queue_type",
        choice("classic", "quorum"),
        "classic",
        "What a queue that does not exist yet becomes on RabbitMQ. quorum: copied to several servers, without "
        "priorities; a client that declares it as a classic one is refused.",
    ),
    Option(
        "task_queue_max_priority",
        optional(whole(1, 255)),
        None,
        "The highest priority of queues that do not exist yet on RabbitMQ, where a queue has none unless it says so.",
    ),
    Option(
        "task_create_missing_queues",
        FLAG,
        True,
        "Whether a call may go to a queue that is not declared. False: it raises QueueNotFound.",
    ),
    Option(
        "task_publish_retry",
        FLAG,
        True,
        "Whether a message is offered again to a broker that had no room for it, as task_publish_retry_policy says. "
        "One that the broker may have taken is not.",
    ),
    Option(
        "task_publish_retry_policy",
        RETRY_POLICY,
        {},
        "How often, and when: interval_start seconds later, then interval_step longer each time up to interval_max; "
        "within broker_publish_timeout in any case.",
        default_text="`max_retries` 3, `interval_start` 0, `interval_step` 0.2, `interval_max` 1",
    ),
    Option(
        "task_default_priority",
        optional(whole(0, 9)),
        None,
        "The priority of a call that names none: 0 to 9, higher is sooner.",
    ),
    Option("task_serializer", TEXT, "json", "How the arguments of a call are written."),
    Option("task_compression", optional(TEXT), None, "How the body of a message is compressed; None: not at all."),
)
