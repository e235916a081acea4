"""Settings of what stays of a task: its result, and the dead letter where it could not be done."""

from __future__ import annotations

from umbel.settings.kinds import FLAG, NAMES, TEXT, UNSET, URL, expiry, optional, unset_or, whole
from umbel.settings.option import Option

OPTIONS = (
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
)
