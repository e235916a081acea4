"""Settings of workers: their processes, what those take on and how long a task may run there, their log."""

from __future__ import annotations

from umbel.log import LOG_FORMAT, TASK_LOG_FORMAT
from umbel.settings.kinds import FLAG, NAMES, TEXT, choice, optional, seconds, whole
from umbel.settings.option import Option

OPTIONS = (
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
