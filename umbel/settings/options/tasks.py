"""Settings of tasks: what there is of them, what is taken for one, how it is run and when it is settled."""

from __future__ import annotations

from umbel.settings.kinds import FLAG, NAMES, ZONE, optional, seconds, whole
from umbel.settings.option import Option
from umbel.settings.routes import ANNOTATIONS

OPTIONS = (
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
)
