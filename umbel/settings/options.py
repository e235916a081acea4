"""Every setting there is: one declaration each, with its kind, its default and its meaning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from umbel.errors import ConfigurationError
from umbel.log import LOG_FORMAT, TASK_LOG_FORMAT
from umbel.settings.keys import ENCRYPTION_KEYS, SIGNING_KEYS
from umbel.settings.kinds import (
    FLAG,
    NAMES,
    TEXT,
    UNSET,
    URL,
    ZONE,
    Kind,
    Unfit,
    choice,
    expiry,
    optional,
    seconds,
    unset_or,
    whole,
)
from umbel.settings.masking import MASK, mask_url
from umbel.wire.names import DEFAULT_QUEUE

ENVIRONMENT_PREFIX = "UMBEL_"

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


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. ``default`` is a value as ``kind`` keeps it; ``default_text`` says what it stands for, where that
    is more than the value. ``unit`` is what its numbers count. A ``secret`` is never shown."""

    name: str
    kind: Kind
    default: Any
    doc: str
    secret: bool = False
    unit: str | None = None
    default_text: str | None = None

    @property
    def environment_name(self) -> str:
        """The environment variable that sets it."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    def accept(self, value: Any, origin: str) -> Any:
        """The value as it is kept, from one that Python or TOML gave.

        Raises ``ConfigurationError`` naming the setting, what it takes and ``origin``.
        """
        return self._convert(self.kind.check, value, value, origin)

    def read(self, text: str, origin: str) -> Any:
        """The value as it is kept, from a text of the environment or the command line. Raises as ``accept``."""
        if not text.strip() and self.kind is not NAMES:
            raise ConfigurationError(f"{self.name}: no value ({origin}); give one, or take it out")
        return self._convert(self.kind.check, self._convert(self.kind.read, text, text, origin), text, origin)

    def show(self, value: Any) -> str:
        """The value as people may see it: no password, no secret."""
        if self.secret and value:
            return MASK
        if value is UNSET:
            return self.default_text or "unset"
        if isinstance(value, str):
            return mask_url(value) if self.kind.private else value
        return repr(list(value)) if isinstance(value, tuple) else repr(value)

    def _convert(self, step: Callable[[Any], Any], value: Any, given: Any, origin: str) -> Any:
        try:
            return step(value)
        except Unfit as unfit:
            got = type(given).__name__ if self.secret or self.kind.private else f"{type(given).__name__} {given!r:.100}"
            hint = f" ({unfit})" if str(unfit) else ""
            raise ConfigurationError(
                f"{self.name}: expected {self.kind.expects}, got {got}{hint}; correct it there: {origin}"
            ) from None


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
        "How long a call may take to reach the broker, connecting included, before it raises PublishError.",
        unit="seconds",
    ),
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
    Option("task_default_queue", TEXT, DEFAULT_QUEUE, "The queue of a call that names none."),
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
    Option("timezone", ZONE, "UTC", "The time zone of datetimes that name none."),
    Option("enable_utc", FLAG, True, "Write times in UTC; False: in timezone."),
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
        choice("processes", "solo", aliases={"prefork": "processes"}),
        "processes",
        "Where tasks run. processes: in child processes; solo: in the worker's own process, one at a time.",
    ),
    Option(
        "worker_concurrency",
        optional(whole(1)),
        None,
        "How many tasks run at once.",
        unit="tasks",
        default_text="the CPUs that the worker may use; 1 for solo",
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
    Option("worker_log_format", TEXT, LOG_FORMAT, "The layout of the worker's log lines."),
    Option("worker_task_log_format", TEXT, TASK_LOG_FORMAT, "The layout of log lines that a task writes."),
    Option(
        "worker_log_color",
        optional(FLAG),
        None,
        "Whether log lines are coloured.",
        default_text="on a terminal, unless NO_COLOR is set",
    ),
)
"""The settings by name. What is not here does not exist: an unknown name is an error wherever it is met."""
