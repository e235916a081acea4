"""Every setting there is: one declaration each, with its kind, its default and its meaning."""

from __future__ import annotations

from umbel.settings.option import Option
from umbel.settings.options import broker, results, security, sending, tasks, worker

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

SUBJECTS = (broker, sending, tasks, results, security, worker)
"""Where they stand, in the order of the page that lists them."""

OPTIONS: dict[str, Option] = {option.name: option for subject in SUBJECTS for option in subject.OPTIONS}
"""The settings by name. What is not here does not exist: an unknown name is an error wherever it is met."""
