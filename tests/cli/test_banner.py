"""Tests what a worker's banner says of combinations of broker, results and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from umbel import Umbel
from umbel.cli.banner import Banner, address, banner, show
from umbel.lookup import Found
from umbel.worker.origin import Origin
from umbel.worker.plan import plan_for

POWER_CUT = "a power cut may lose the last moments (sqlite_synchronous=FULL prevents it)"


def said(*, in_container: bool = False, grace: float | None = None, **settings: Any) -> Banner:
    app = Umbel("shop", set_as_current=False, **settings)
    plan = plan_for(app, grace=grace, concurrency=1, origin=Origin("shop", "app"))
    return banner(Found(app, "shop", "app"), plan, in_container=in_container)


def test_an_embedded_broker_gives_up_what_a_power_cut_may_take() -> None:
    assert said().notes == [POWER_CUT]
    assert said(sqlite_synchronous="FULL").notes == []
    assert said(broker="amqp://localhost", backend="sqlite:///results.db").notes == [POWER_CUT]


def test_a_memory_broker_is_said_to_end_with_the_process() -> None:
    (note,) = said(broker="memory://").notes

    assert note.startswith("memory:// is this process alone")


def test_early_acknowledgement_is_said_to_lose_what_runs() -> None:
    assert said(sqlite_synchronous="FULL", task_acks_late=False).notes == [
        "a crash loses the tasks that are running (task_acks_late=True runs them again)"
    ]


def test_a_grace_longer_than_dockers_is_mentioned_in_a_container_alone() -> None:
    outside = said(sqlite_synchronous="FULL")
    short = said(sqlite_synchronous="FULL", in_container=True, grace=10)
    (note,) = said(sqlite_synchronous="FULL", in_container=True, grace=60).notes

    assert outside.notes == short.notes == []
    assert note == (
        "Docker kills a container 10 s after asking it to stop, running tasks get 60 s: "
        "set stop_grace_period to 65s in compose, or --stop-timeout with docker run"
    )


def test_passwords_are_masked_in_broker_and_results() -> None:
    facts = dict(said(broker="amqp://me:s3cret@host//", backend="memory://me:s3cret@store").facts)

    assert facts["broker"] == "amqp://me:********@host//"
    assert facts["results"] == "memory://me:********@store"


def test_results_that_are_off_or_in_the_broker_are_said_to_be() -> None:
    assert dict(said(backend=None, broker="amqp://localhost").facts)["results"] == "off (result_backend)"
    assert dict(said().facts)["results"] == "in the broker's own store"


def test_a_relative_file_is_shown_with_its_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert address("sqlite:///q.db?token=s3cret") == f"sqlite:///{tmp_path}/q.db?token=********"
    assert address("sqlite:////srv/q.db") == "sqlite:////srv/q.db"


def test_a_banner_without_tasks_asks_where_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    show(said())

    assert "none: is the module that defines them imported?" in capsys.readouterr().out
