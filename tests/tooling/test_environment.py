"""Makes real environments in a small checkout of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PINS = "requirements/idle.txt"


@pytest.fixture(scope="module")
def checkout(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with the tool, the pins of uv, and the pins of an environment that has nothing in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("tools/environment.py", "requirements/uv.txt"):
        (folder / name).parent.mkdir()
        shutil.copy(root / name, folder / name)
    (folder / PINS).write_text("# nothing\n")
    subprocess.run([*tool(folder), "uv"], check=True, capture_output=True)
    return folder


def tool(checkout: Path) -> list[str]:
    return [sys.executable, str(checkout / "tools" / "environment.py")]


def call(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*tool(checkout), *words], capture_output=True, text=True, check=False)


def stamp(python: str) -> Path:
    return Path(python).parent.parent / "stamp"


def test_an_environment_is_made_once_and_then_only_found(checkout: Path) -> None:
    first, second = call(checkout, "idle"), call(checkout, "idle")
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout
    assert Path(first.stdout.strip()).parent.parent.parent == checkout / ".venvs"
    assert second.stderr == ""


def test_other_pins_make_another_environment(checkout: Path) -> None:
    before = call(checkout, "idle").stdout
    (checkout / PINS).write_text("# nothing at all\n")
    after = call(checkout, "idle").stdout
    assert before != after
    assert stamp(before.strip()).exists()


def test_one_that_was_left_half_made_is_made_again(checkout: Path) -> None:
    python = call(checkout, "idle").stdout.strip()
    stamp(python).unlink()
    Path(python).unlink()
    done = call(checkout, "idle")
    assert done.stdout.strip() == python
    assert "idle: making" in done.stderr
    assert Path(python).exists()


def test_two_makers_at_once_make_it_once(checkout: Path) -> None:
    python = call(checkout, "idle").stdout.strip()
    stamp(python).unlink()
    command = [*tool(checkout), "idle"]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert {out.strip() for out, _ in ends} == {python}
    assert sum("idle: making" in told for _, told in ends) == 1


def test_a_program_is_found_in_the_environment_first(checkout: Path) -> None:
    done = call(checkout, "idle", "--", "python", "-c", "import sys; print(sys.prefix); sys.exit(7)")
    assert done.returncode == 7
    assert Path(done.stdout.strip()).parent == checkout / ".venvs"


def test_a_program_that_is_nowhere_is_named(checkout: Path) -> None:
    done = call(checkout, "idle", "--", "no-such-program")
    assert done.returncode == 1
    assert "'no-such-program' is neither in " in done.stderr


def test_an_unknown_name_is_answered_with_the_known_ones(checkout: Path) -> None:
    done = call(checkout, "dve")
    assert done.returncode == 1
    assert "No environment is called 'dve'" in done.stderr
    assert "Known: idle." in done.stderr


@pytest.mark.parametrize("words", [(), ("--everything",), ("idle", "--")])
def test_a_wrong_command_line_is_answered_with_the_right_one(checkout: Path, words: tuple[str, ...]) -> None:
    done = call(checkout, *words)
    assert done.returncode == 2
    assert "tools/environment.py dev -- pytest -x" in done.stderr


def test_a_step_that_fails_tells_what_it_printed_and_leaves_no_environment(checkout: Path) -> None:
    pins = checkout / "requirements" / "wrong.txt"
    pins.write_text("this is no requirement\n")
    done = call(checkout, "wrong")
    assert done.returncode == 1
    assert "This step failed with status" in done.stderr
    assert "this is no requirement" in done.stderr
    assert not list((checkout / ".venvs").glob("wrong-*/stamp"))
    pins.unlink()


def test_a_python_that_cannot_make_environments_is_told_the_line_that_helps(checkout: Path) -> None:
    (checkout / "requirements" / "fresh.txt").write_text("# nothing\n")
    program = f"""
import runpy, sys
from importlib.machinery import PathFinder
class WithoutEnsurepip:
    def find_spec(self, name, *rest):
        return None if name == "ensurepip" else PathFinder.find_spec(name, *rest)
sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutEnsurepip()
sys.argv = ["environment.py", "fresh"]
runpy.run_path({tool(checkout)[1]!r}, run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "its module ensurepip is missing" in done.stderr
    assert "    apt-get install -y python3-venv\n" in done.stderr
    assert "Traceback" not in done.stderr
