"""Tests how commands end that somebody cuts short, and what is said when umbel itself is wrong."""

from __future__ import annotations

import pytest

from tests.cli.project import ROOT, Project
from umbel.cli import failures


def test_ctrl_c_while_a_call_waits_ends_it_with_status_130(project: Project) -> None:
    with project.start("call", "tasks.add", "4", "4", "--wait") as waiting:
        waiting.wait_for("-")
        waiting.interrupt()

        assert waiting.end() == 130
        assert "Traceback" not in waiting.errors
        assert "error" not in waiting.errors


def test_ctrl_c_at_a_question_ends_it_with_status_130(project: Project) -> None:
    assert project.run("call", "tasks.add", "4", "4").returncode == 0

    with project.start("purge", answering=True) as asking:
        asking.wait_for("[y/N]")
        asking.interrupt()

        assert asking.end() == 130
        assert "Traceback" not in asking.errors
    assert project.run("purge", "--force").stdout.startswith("Dropped 1 message ")


@pytest.mark.parametrize("slow", ["time.sleep(600)", "exec('time.sleep(600)')"])
def test_ctrl_c_while_the_app_is_imported_ends_the_command_with_status_130(project: Project, slow: str) -> None:
    project.write("tasks.py", f"import sys, time\nprint('importing', file=sys.stderr, flush=True)\n{slow}\n")

    with project.start("worker") as starting:
        starting.wait_for("importing")
        starting.interrupt()

        assert starting.end() == 130
        assert "Traceback" not in starting.errors


@pytest.mark.parametrize("module", ["click", "asyncio", "typing"])
def test_ctrl_c_while_umbel_itself_is_loaded_ends_the_command_with_status_130(project: Project, module: str) -> None:
    project.strict = False
    slow = "import sys, time\nprint('importing', file=sys.stderr, flush=True)\ntime.sleep(600)\n"
    project.write(f"early/{module}.py", slow)
    site = f"import sys\nsys.path.insert(0, '{project.folder}/early')\nsys.modules.pop('{module}', None)\n"
    project.write("early/sitecustomize.py", site)
    project.environ["PYTHONPATH"] = f"{project.folder}/early:{ROOT}"

    with project.start("worker") as starting:
        starting.wait_for("importing")
        starting.interrupt()

        assert starting.end() == 130
        assert "Traceback" not in starting.errors


@pytest.mark.parametrize("arguments", [["--help"], ["config"], ["list", "tasks"], ["report"]], ids=" ".join)
def test_a_reader_that_goes_away_ends_a_command_quietly(project: Project, arguments: list[str]) -> None:
    script = project.write("run.sh", '{ "$@"; echo "status $?" >&2; } | true\n')

    done = project.run_as(["sh", str(script), *project.command(*arguments)])

    assert done.stderr == "status 141\n"


def test_errors_that_nobody_reads_end_a_command_quietly(project: Project) -> None:
    script = project.write("run.sh", '{ "$@" 2>&1; echo "status $?" > status; } | true\n')

    project.run_as(["sh", str(script), *project.command("nonsense")])

    assert (project.folder / "status").read_text() == "status 141\n"


def test_a_broken_pipe_that_is_not_the_outputs_is_an_error(project: Project) -> None:
    project.write("tasks.py", "raise BrokenPipeError('a socket of the app')\n")

    done = project.run("config")

    assert done.returncode == 1
    assert done.stderr.startswith(f'Traceback (most recent call last):\n  File "{project.folder}/tasks.py", line 1')
    assert "BrokenPipeError: a socket of the app" in done.stderr


def test_an_exit_asked_for_by_the_app_is_kept(project: Project) -> None:
    project.write("tasks.py", "raise SystemExit(7)\n")

    assert project.run("config").returncode == 7


def test_a_mistake_in_umbel_is_shown_whole_and_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AttributeError) as caught:
        failures.explain(None)  # type: ignore[arg-type]
    own_frames = caught.tb.tb_next  # without this test's, which is no part of umbel

    assert failures.explain(caught.value.with_traceback(own_frames)) == 1

    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last):")
    assert "umbel: error: this is a mistake in umbel itself; please report it" in told
