"""Asks questions in a hurry, as a reader does who wants to see whether it works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import client
from bench.contestants import Contestant
from bench.processes import Stuck


def bench(root: Path, python: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "bench", *words],
        cwd=root,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_a_quick_question_is_answered_by_a_table_and_a_file(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    done = bench(root, Path(sys.executable), tmp_path, "importing", "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "| import umbel " in done.stdout
    assert "import: asyncio, round 2 of 2" in done.stderr
    report = json.loads(file.read_text())
    first = report["answers"][0]
    assert report["quick"] is True
    assert first["question"] == "import umbel"
    assert len(first["values"]["umbel"]) == 2
    assert first["bars"][0]["met"] in (True, False)


@pytest.mark.slow
def test_every_question_can_be_asked(root: Path, tmp_path: Path, interpreter: Callable[[str], Path]) -> None:
    file = tmp_path / "figures.json"
    done = bench(root, interpreter("bench"), tmp_path, "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    asked = [answer["question"] for answer in json.loads(file.read_text())["answers"]]
    assert {
        "drain, results on",
        "send one by one",
        "send 100 at once",
        "round trip, p50",
        "CPU, idle",
        "sleeping, share of the ideal",
        "spinning, share of the ideal",
        "50 streams",
        "from the task to a page, p95",
    } <= set(asked)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize(
    ("questions", "answers", "contestants"),
    [
        (
            ["drain", "send", "many", "trip"],
            {"CPU of the server, results on", "send in 100 coroutines", "send 100 at once", "round trip, p50"},
            {"umbel", "Celery, prefetch 64", "Dramatiq", "Taskiq", "raw frames"},
        ),
        (
            ["standing", "sleeping", "spinning"],
            {"CPU, idle", "sleeping, share of the ideal", "spinning, share of the ideal"},
            {"umbel", "Celery, as it comes", "Dramatiq", "Taskiq"},
        ),
    ],
    ids=["moving", "living"],
)
def test_every_question_can_be_asked_on_rabbitmq(
    root: Path,
    tmp_path: Path,
    interpreter: Callable[[str], Path],
    questions: list[str],
    answers: set[str],
    contestants: set[str],
) -> None:
    file = tmp_path / "figures.json"
    words = [*questions, "--broker", "rabbitmq", "--quick", "--json", str(file)]
    done = bench(root, interpreter("bench"), tmp_path, *words)
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    asked = {answer["question"]: set(answer["values"]) for answer in report["answers"]}
    assert report["broker"] == "rabbitmq"
    assert answers <= set(asked)
    assert contestants <= next(iter(asked.values()))
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("question", ["send", "trip"])
def test_a_question_can_be_asked_on_redis(
    root: Path, tmp_path: Path, interpreter: Callable[[str], Path], question: str
) -> None:
    file = tmp_path / "figures.json"
    done = bench(root, interpreter("bench"), tmp_path, question, "--broker", "redis", "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    contestants = {name for answer in report["answers"] for name in answer["values"]}
    wanted = {
        "send": {"umbel", "Celery", "Dramatiq", "Taskiq", "RQ", "SAQ", "arq", "Huey"},
        "trip": {"umbel", "Celery", "Dramatiq", "Taskiq", "RQ", "SAQ", "arq", "Huey"},
    }
    assert report["broker"] == "redis"
    assert contestants == wanted[question]
    assert list(tmp_path.iterdir()) == [file]


def test_calls_are_counted_by_every_thread_and_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "HOME", tmp_path)
    client.tick(3)
    thread = threading.Thread(target=client.tick)
    thread.start()
    thread.join()
    child = [sys.executable, "-c", "from bench import client; client.tick(); client.tick(5)"]
    subprocess.run(child, env={**os.environ, "BENCH_HOME": str(tmp_path)}, check=True)
    assert client.counted() == 10


def test_a_question_of_another_broker_is_refused(root: Path, tmp_path: Path) -> None:
    done = bench(root, Path(sys.executable), tmp_path, "importing", "--broker", "rabbitmq")
    assert done.returncode == 2
    assert "importing is asked with --broker sqlite alone" in done.stderr


def test_an_unknown_question_is_refused_with_the_known_ones(root: Path, tmp_path: Path) -> None:
    done = bench(root, Path(sys.executable), tmp_path, "drian")
    assert done.returncode == 2
    assert "no such question: drian" in done.stderr


def test_a_peer_that_fails_is_told_with_what_it_said() -> None:
    with (
        Contestant.at_home("bench.peers.nobody") as contestant,
        pytest.raises(Stuck, match=r"status 1(.|\n)*No module named 'bench.peers.nobody'"),
    ):
        contestant.ask("send", 1)


def test_ctrl_c_ends_it_with_one_line(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench", "importing"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=root, stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stderr is not None
        running.stderr.readline()
        running.send_signal(signal.SIGINT)
        printed, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "bench: stopped"
    assert printed == ""


def test_repetitions_are_timed_one_by_one_after_a_warm_up() -> None:
    calls: list[None] = []
    seconds = client.timed(lambda: calls.append(None), 7, warm_up=3)
    assert len(calls) == 10
    assert len(seconds) == 7
    assert all(second >= 0 for second in seconds)
