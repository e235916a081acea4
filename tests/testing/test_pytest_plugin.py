"""The fixtures, as pytest gives them to a project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

PROJECT = """
from umbel import Umbel

app = Umbel("shop", broker="sqlite:////nobody/may/write.db")


@app.task
def add(x: int, y: int) -> int:
    return x + y
"""


@pytest.fixture
def project(pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with an app in tasks.py."""
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # a checkout may be installed or not
    for name in ("UMBEL_APP", "UMBEL_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeini("[pytest]\naddopts = --strict-markers -p no:cacheprovider\nfilterwarnings = error\n")
    pytester.makepyfile(tasks=PROJECT)
    return pytester


def run(project: pytest.Pytester, test: str) -> pytest.RunResult:
    project.makepyfile(test_shop=test)
    return project.runpytest_subprocess("-p", "umbel.testing.pytest_plugin")


def test_a_test_runs_tasks_and_turns_the_clock(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        from tasks import add

        def test_add(umbel_running):
            result = add.options(countdown=7200).delay(2, 2)
            umbel_running.advance(hours=2)
            umbel_running.drain()
            assert result.get() == 4

        def test_nothing_is_left_of_it(umbel_app, umbel_running):
            assert umbel_running.pending == umbel_running.results == []
            assert umbel_app is add.app
        """,
    )
    result.assert_outcomes(passed=2)


def test_a_worker_stands_beside_a_test(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import pytest
        from tasks import add

        def test_in_memory(umbel_worker):
            assert add.app.conf.broker_url.startswith("memory:")
            assert add.delay(2, 2).get(timeout=30) == 4

        class TestInAFile:
            @pytest.fixture
            def umbel_broker_url(self, tmp_path):
                return f"sqlite:///{tmp_path}/test.db"

            def test_it(self, umbel_worker):
                assert add.app.conf.broker_url.startswith("sqlite:")
                assert add.delay(2, 2).get(timeout=30) == 4
        """,
    )
    result.assert_outcomes(passed=2)


def test_the_nearest_marker_has_the_settings(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import pytest
        from tasks import add

        pytestmark = pytest.mark.umbel(task_default_queue="far", task_ignore_result=True)

        @pytest.mark.umbel(task_default_queue="near")
        def test_it(umbel_app, umbel_running):
            assert umbel_app.conf.task_default_queue == "near"
            assert umbel_app.conf.task_ignore_result

        def test_worker(umbel_worker):
            assert umbel_worker.queues == ("far",)

        @pytest.mark.umbel("near")
        def test_wrong(umbel_running): ...

        @pytest.mark.umbel(task_default_qeue="near")
        def test_misspelt(umbel_running): ...
        """,
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*takes settings by name, not ('near',)*", "*did you mean 'task_default_queue'*"])


def test_the_app_can_be_said(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
        import pytest
        from umbel import Umbel

        @pytest.fixture
        def umbel_app():
            return Umbel("own", broker="memory://own", set_as_current=False)

        def test_it(umbel_app, umbel_running):
            assert umbel_app.main == "own"
        """,
    )
    result.assert_outcomes(passed=1)


def test_an_app_that_is_not_found_is_an_error_that_helps(project: pytest.Pytester) -> None:
    (project.path / "tasks.py").unlink()
    result = run(project, "def test_it(umbel_running): ...")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no app found*", "*override the fixture umbel_app*"])


def test_loading_it_brings_nothing_that_a_test_without_tasks_does_not_need(root: Path) -> None:
    program = "import sys, umbel.testing.pytest_plugin; print(*(m for m in sys.modules if m.startswith('umbel')))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) == {"umbel", "umbel.testing", "umbel.testing.pytest_plugin"}
