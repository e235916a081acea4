"""Every setting there is: one declaration each, with its kind, its default and its meaning."""

from __future__ import annotations

from umbel.log import LOG_FORMAT, TASK_LOG_FORMAT
from umbel.settings.keys import ENCRYPTION_KEYS, SIGNING_KEYS
from umbel.settings.kinds import (
    FLAG,
    NAMES,
    TEXT,
    UNSET,
    URL,
    ZONE,
    choice,
    expiry,
    optional,
    seconds,
    unset_or,
    whole,
)
from umbel.settings.option import Option
from umbel.settings.routes import ANNOTATIONS, QUEUES, RETRY_POLICY, ROUTES
from umbel.wire.names import DEFAULT_QUEUE

MODULE_PREFIXES = (
    "beat_",
    "broker_",
    "control_",
    "dead_letter_",
    "event_",
    "result_",
    "security_",
    "sqlite_",
    "task_",
    "worker_",
)
"""An attribute of a configuration module that starts so is meant as a setting, so an unknown one is an error."""


def _declared(*options: Option) -> dict[str, Option]:
    return {option.name: option for option in options}


OPTIONS: dict[str, Option] = _declared(
    # -- broker ---------------------------------------------------------------------------------------------------
    Option(
        "broker_url",
        optional(URL),
        None,
        "Where messages are kept. None: an SQLite file of the project.",
        default_text="sqlite: .umbel/umbel.db in the project's root folder",
    ),
    Option(
        "broker_publish_timeout",
        seconds(zero=False),
        5.0,
        "How long a call may take to reach the broker, connecting included, before it raises PublishError. "
        "Of many that are sent together every thousand have that long.",
        unit="seconds",
    ),
    Option("broker_spool", optional(TEXT), None, "A file in which calls wait for a broker elsewhere that is away."),
    Option(
        "sqlite_synchronous",
        choice("NORMAL", "FULL", fold=str.upper),
        "NORMAL",
        "How far SQLite goes with each commit. NORMAL: a crash of a process loses nothing, a power cut may lose the "
        "last moments. FULL: a power cut loses nothing either, and every commit waits for the disk.",
    ),
    # -- tasks ----------------------------------------------------------------------------------------------------
    Option("imports", NAMES, (), "Modules that a worker imports before it starts.", unit="module names"),
    Option("include", NAMES, (), "More modules that a worker imports before it starts.", unit="module names"),
    Option(
        "middleware",
        NAMES,
        (),
        "What stands around every call that is sent and every task that runs, the outermost first.",
        unit="module:Class",
    ),
    Option(
        "task_annotations",
        optional(ANNOTATIONS),
        None,
        "Options of tasks, by their names or patterns; they win over those in @task.",
    ),
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
        "broker_amqp_handover",
        seconds(zero=False),
        600.0,
        "How long a worker holds a delivery of RabbitMQ. A task that runs longer changes its claim, one that waits is "
        "given back after half of it. It must be well below the server's consumer_timeout (30 minutes by default).",
        unit="seconds",
    ),
    Option(
        "broker_connection_max_retries",
        optional(whole(0)),
        100,
        "How often in a row a worker tries to reach its broker before it ends. None: without end.",
        unit="attempts",
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
    Option(
        "accept_content",
        NAMES,
        ("json",),
        "The serializers whose messages a worker decodes; any other message becomes a dead letter, undecoded.",
        default_text="json, and msgpack where it is installed",
    ),
    Option(
        "task_message_max_size",
        whole(1),
        64 * 1024 * 1024,
        "The largest message that is decoded, counted after decompression.",
        unit="bytes",
    ),
    Option(
        "task_acks_late",
        FLAG,
        True,
        "Settle a message after its task has ended: a crash runs it again (at least once). False: before it starts, "
        "so a crash loses it (at most once).",
    ),
    Option(
        "task_reject_on_worker_lost",
        optional(FLAG),
        None,
        "Whether a task whose process died is run again.",
        default_text="as task_acks_late",
    ),
    Option(
        "task_acks_on_failure_or_timeout",
        FLAG,
        True,
        "Whether a task that failed or ran out of time is settled as done. False: a failed one becomes a dead "
        "letter, one that ran out of time is run again.",
    ),
    Option(
        "task_unknown_grace",
        seconds(zero=True),
        600.0,
        "How long a call of a task that no worker knows waits for one that does, before it is a dead letter.",
        unit="seconds",
    ),
    Option(
        "task_max_starts",
        whole(1),
        3,
        "How often a task is started that takes its process down each time, before it becomes a dead letter.",
        unit="starts",
    ),
    Option("task_track_started", FLAG, False, "Record the state STARTED when a task starts."),
    Option("task_ignore_result", FLAG, False, "Keep no results, unless a task or a call says otherwise."),
    Option("task_store_errors_even_if_ignored", FLAG, False, "Keep the failures of tasks whose results are not kept."),
    Option(
        "task_redact_args",
        NAMES,
        (),
        "Arguments that are shown as '***': in the representation that travels with a call, in logs, with results.",
        unit="argument names",
    ),
    Option(
        "task_always_eager",
        FLAG,
        False,
        "Run calls in the calling process, at once, in place of sending them. For tests.",
    ),
    Option("task_eager_propagates", FLAG, False, "Raise the exception of a task that runs so in the caller."),
    Option("task_store_eager_result", FLAG, False, "Keep the results of tasks that run so."),
    Option(
        "timezone",
        optional(ZONE),
        None,
        "The time zone of datetimes that name none, and of those that umbel gives and sends.",
        default_text="UTC, or with enable_utc off the machine's own",
    ),
    Option("enable_utc", FLAG, True, "What holds where timezone is not set. True: UTC; False: the machine's own zone."),
    # -- results --------------------------------------------------------------------------------------------------
    Option(
        "result_backend",
        unset_or(optional(URL)),
        UNSET,
        "Where results are kept. None: nowhere.",
        default_text="the broker's own store, where it keeps results",
    ),
    Option("result_serializer", TEXT, "json", "How results are written."),
    Option(
        "result_accept_content",
        optional(NAMES),
        None,
        "The serializers whose results are decoded.",
        default_text="as accept_content",
    ),
    Option(
        "result_expires",
        expiry(),
        86400.0,
        "How long a result is kept after the task has ended. None or 0: for ever.",
        unit="seconds",
    ),
    Option(
        "result_extended", FLAG, True, "Keep the task's name, arguments, worker, queue and retries with its result."
    ),
    # -- dead letters ---------------------------------------------------------------------------------------------
    Option(
        "dead_letter_expires",
        expiry(),
        2_592_000.0,
        "How long a message that could not be done is kept. None or 0: for ever.",
        unit="seconds",
    ),
    Option(
        "dead_letter_max",
        whole(1),
        100_000,
        "How many of them are kept of each queue; the oldest go first.",
        unit="messages",
    ),
    # -- security -------------------------------------------------------------------------------------------------
    Option(
        "security_signing_keys",
        SIGNING_KEYS,
        (),
        "Sign what is sent, and take nothing that is not signed. The first key signs, each of them verifies.",
        secret=True,
        default_text="none: nothing is signed, everything is taken",
    ),
    Option(
        "security_signing_max_age",
        seconds(zero=False),
        86400.0,
        "How long after it was signed, or after its eta, a message is taken.",
        unit="seconds",
    ),
    Option(
        "security_encryption_keys",
        ENCRYPTION_KEYS,
        (),
        "Encrypt the arguments and links of what is sent; names, headers and results stay readable. The first key "
        "encrypts, each of them decrypts.",
        secret=True,
        default_text="none: nothing is encrypted",
    ),
    # -- worker ---------------------------------------------------------------------------------------------------
    Option(
        "worker_pool",
        choice("processes", "threads", "async", "solo", "gevent", "eventlet", aliases={"prefork": "processes"}),
        "processes",
        "Where tasks run. processes: in child processes, one at a time in each; threads: in the threads of one child "
        "process; async: on the event loop of one child process; solo: in the worker's own process, one at a time. "
        "In place of gevent and eventlet there is threads.",
    ),
    Option(
        "worker_concurrency",
        optional(whole(1)),
        None,
        "How many tasks run at once.",
        unit="tasks",
        default_text="the CPUs that the worker may use; 100 for async, 1 for solo",
    ),
    Option(
        "worker_queues",
        optional(NAMES),
        None,
        "The queues that a worker takes tasks from.",
        default_text="those of task_queues, and task_default_queue",
    ),
    Option(
        "worker_prefetch_multiplier",
        optional(whole(1)),
        None,
        "How many messages a worker holds for each task that it can run at once.",
        unit="messages",
        default_text="adapts to how long tasks take",
    ),
    Option(
        "task_time_limit",
        optional(seconds(zero=False)),
        None,
        "How long a task may run before its process is killed and it fails with TimeLimitExceeded.",
        unit="seconds",
    ),
    Option(
        "task_soft_time_limit",
        optional(seconds(zero=False)),
        None,
        "How long a task may run before SoftTimeLimitExceeded is raised in it.",
        unit="seconds",
    ),
    Option(
        "worker_max_tasks_per_child",
        optional(whole(1)),
        None,
        "How many tasks a runner process may run before a fresh one takes its place; None: any number.",
    ),
    Option(
        "worker_max_memory_per_child",
        optional(whole(1)),
        None,
        "How much memory a runner process may hold after a task before a fresh one takes its place; None: any amount.",
        unit="KiB",
    ),
    Option(
        "worker_deaf_timeout",
        optional(seconds(zero=False)),
        None,
        "How long a runner process may not answer (stopped, or its task holds the interpreter's lock) before it is "
        "killed and its task run again; None: as long as it likes.",
        unit="seconds",
    ),
    Option(
        "worker_grace",
        seconds(zero=True),
        30.0,
        "How long running tasks may take to finish when the worker is told to stop; the rest is given back.",
        unit="seconds",
    ),
    Option(
        "worker_state_dir",
        optional(TEXT),
        None,
        "The folder in which a worker remembers what was revoked, where neither broker nor result store does.",
        default_text=".umbel in the project's root folder",
    ),
    Option("worker_log_format", TEXT, LOG_FORMAT, "The layout of the worker's log lines."),
    Option("worker_task_log_format", TEXT, TASK_LOG_FORMAT, "The layout of log lines that a task writes."),
    Option(
        "worker_hijack_root_logger",
        FLAG,
        True,
        "Whether a worker's log has what all loggers say: the root logger loses the handlers that it has.",
    ),
    Option(
        "worker_redirect_stdouts",
        FLAG,
        True,
        "Whether what tasks print becomes lines of the worker's log; not in the pool solo on a terminal, where a "
        "debugger may want to speak.",
    ),
    Option(
        "worker_redirect_stdouts_level",
        choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", fold=str.upper),
        "WARNING",
        "The level of these lines.",
    ),
    Option(
        "worker_log_color",
        optional(FLAG),
        None,
        "Whether log lines are coloured.",
        default_text="on a terminal, unless NO_COLOR is set",
    ),
)
"""The settings by name. What is not here does not exist: an unknown name is an error wherever it is met."""
