"""Shows that a test run cannot hide a test that did not run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ledger import expected_skips

TESTS = """
import pytest

def test_that_runs(): pass

@pytest.mark.skip(reason="no moon")
def test_that_needs_a_moon(): pass

@pytest.mark.xfail(reason="known to fail")
def test_that_fails(): assert False
"""

WHOLE_FILE = 'import pytest\npytest.skip("no sun", allow_module_level=True)\n'


def session(folder: Path, expected: str, files: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on these files in a process of its own, with a ledger that expects these skips."""
    conftest = (
        "from pathlib import Path\nfrom tests.ledger import Ledger, expected_skips\n"
        "def pytest_configure(config):\n"
        "    config.pluginmanager.register(Ledger(expected_skips(Path(__file__).with_name('expected.txt'))))\n"
    )
    for name, text in {"conftest.py": conftest, "expected.txt": expected, "pytest.ini": "[pytest]\n", **files}.items():
        (folder / name).write_text(text)
    # "-m pytest" puts the current folder on the path, which has the tests' own modules; the rest comes from the folder.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-c",
        str(folder / "pytest.ini"),
        str(folder),
        *words,
    ]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, env=alone, capture_output=True, text=True, check=False)


def test_a_skip_that_nobody_expected_fails_the_session(tmp_path: Path) -> None:
    done = session(tmp_path, "", {"test_it.py": TESTS, "test_whole.py": WHOLE_FILE})
    assert done.returncode == 1
    assert "unexpected skips" in done.stdout
    assert "test_it.py::test_that_needs_a_moon: Skipped: no moon" in done.stdout
    assert "test_it.py::test_that_fails: xfail: known to fail" in done.stdout
    assert "test_whole.py: Skipped: no sun" in done.stdout


def test_skips_that_are_listed_with_a_reason_pass_and_are_counted(tmp_path: Path) -> None:
    listed = (
        "# what may be skipped\n"
        "test_it.py::test_that_needs_a_moon  # a new moon\n"
        "test_it.py::test_that_fails  # until it is mended\n"
        "test_whole.py  # at night\n"
    )
    done = session(tmp_path, listed, {"test_it.py": TESTS, "test_whole.py": WHOLE_FILE})
    assert done.returncode == 0, done.stdout
    assert "expected skips: 3" in done.stdout
    assert "1 passed, 2 skipped, 1 xfailed" in done.stdout.splitlines()[-1]


def test_a_listed_skip_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "expected.txt").write_text("\ntest_it.py::test_it\n")
    with pytest.raises(pytest.UsageError, match=r"expected\.txt:2: a skip needs its reason"):
        expected_skips(tmp_path / "expected.txt")


def test_a_failure_keeps_its_own_status_beside_an_unexpected_skip(tmp_path: Path) -> None:
    done = session(tmp_path, "", {"test_it.py": TESTS, "test_bad.py": "def test_bad(): assert False\n"})
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout


def test_the_ten_slowest_files_are_listed(tmp_path: Path) -> None:
    files = {f"test_{number}.py": "def test_it(): pass\n" for number in range(12)}
    done = session(tmp_path, "", files)
    assert done.returncode == 0
    report = done.stdout.partition("ten slowest files")[2]
    assert sum(" s  test_" in line for line in report.splitlines()) == 10
    assert "12 passed" in done.stdout.splitlines()[-1]


def test_the_last_words_name_what_failed(tmp_path: Path) -> None:
    """Where only the end of a log is kept, that is what one needs."""
    bad = "import pytest\n\n@pytest.mark.parametrize('with_what', ['a b'])\ndef test_it(with_what): assert False\n"
    broken = "import pytest\n\n@pytest.fixture\ndef it(): raise OSError('no')\n\ndef test_with_it(it): pass\n"
    files = {"test_bad.py": bad, "test_broken.py": broken, "test_syntax.py": "1 +\n"}
    done = session(tmp_path, "", files)
    assert done.stdout.endswith("to run what failed again:\n  python -m pytest \\\n  test_syntax.py\n")
    (tmp_path / "test_syntax.py").unlink()
    del files["test_syntax.py"]
    done = session(tmp_path, "", files)
    assert done.stdout.endswith(
        "  python -m pytest \\\n  'test_bad.py::test_it[a b]' \\\n  test_broken.py::test_with_it\n"
    )
    assert "to run" not in session(tmp_path, "", {"test_bad.py": "def test_it(): pass\n", "test_broken.py": ""}).stdout


def test_several_processes_have_one_account(tmp_path: Path) -> None:
    done = session(tmp_path, "", {"test_it.py": TESTS, "test_whole.py": WHOLE_FILE}, "-p", "xdist", "-n", "2")
    assert done.returncode == 1
    assert "test_it.py::test_that_needs_a_moon: Skipped: no moon" in done.stdout
    assert "test_whole.py: Skipped: no sun" in done.stdout
    done = session(tmp_path, "", {"test_it.py": "def test_it(): assert False\n"}, "-p", "xdist", "-n", "2")
    assert done.stdout.endswith("  python -m pytest \\\n  test_it.py::test_it\n")
