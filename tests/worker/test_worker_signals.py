"""Tests of the signals of a worker's life: which process says what, and in which order."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.worker.process import Shop, Worker


def told_by(shop: Shop, worker: Worker) -> tuple[list[str], list[str]]:
    """What the node and what the other processes have noted, each in its order."""
    node: list[str] = []
    others: list[str] = []
    for entry in (shop.folder / "diary").read_text().splitlines():
        line, _, pid = entry.rpartition(" ")
        said = re.sub(r" (pid|colorize|format|logfile|loglevel)=.*", "", line)
        (node if int(pid) == worker.process.pid else others).append(said)
    return node, others


@pytest.fixture
def listening(shop: Shop) -> Shop:
    (shop.folder / "shop.py").write_text((Path(__file__).parent / "hearing_shop.py").read_text())
    return shop


NAME = "w@here"


@pytest.mark.parametrize("pool", ["processes", "solo"])
def test_a_worker_tells_of_its_life_in_the_process_whose_life_it_is(listening: Shop, pool: str) -> None:
    worker = listening.worker("-P", pool, "-n", NAME)
    assert listening.get(listening.send("add", 1, 2)) == 3
    assert listening.get(listening.send("tracks")) is True
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    node, others = told_by(listening, worker)
    configured = ["on_configure <Umbelshop>", "on_after_configure <Umbelshop>"]
    imports = ["import_modules <Umbelshop>", "imported", "on_after_finalize <Umbelshop>"]
    begin = [f"worker_starting {NAME}", f"worker_init {NAME}"]
    ready = f"worker_ready {NAME}"
    end = [f"worker_shutting_down {NAME} exitcode=0 how=Warm sig=SIGTERM", f"worker_shutdown {NAME}"]
    process = [f"worker_process_init {NAME}", "add", f"worker_process_shutdown {NAME} exitcode=0"]
    set_up = ["after_setup_logger None", "after_setup_task_logger None"]
    before = [imports[0], *configured, *imports[1:], *set_up]
    again = imports[0]  # the command has imported everything before it asks the worker to
    assert node[:10] == [*before, again, *begin]
    if pool == "solo":
        # the node is in a thread of its own, so that it is ready while the other thread begins
        told = node[10:]
        assert [line for line in told if line not in process] == [ready, *end]
        assert [line for line in told if line in process] == process
        assert others == []
    else:
        assert node[10:] == [ready, *end]
        assert others[:10] == [*before, "on_after_fork <Umbelshop>", begin[0], *process][:10]
    assert worker.text().count("worker_starting: the receiver <function slower") == (1 if pool == "solo" else 2)
    assert "LookupError: asked for ['pool']" in worker.text()


def test_a_second_signal_is_told_as_a_cold_end(listening: Shop) -> None:
    worker = listening.worker("-n", NAME)
    listening.send("add", 1, 2)
    listening.wait_for_note("add")
    worker.signal(signal.SIGQUIT)
    assert worker.wait() == 1
    ends = [line for line in told_by(listening, worker)[0] if "shutting" in line]
    assert ends == [
        f"worker_shutting_down {NAME} exitcode=0 how=Warm sig=SIGQUIT",
        f"worker_shutting_down {NAME} exitcode=1 how=Cold sig=SIGQUIT",
    ]
