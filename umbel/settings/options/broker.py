"""Settings of the broker: where messages are kept, and how it is reached."""

from __future__ import annotations

from umbel.settings.kinds import TEXT, URL, choice, optional, seconds, whole
from umbel.settings.option import Option

OPTIONS = (
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
)
