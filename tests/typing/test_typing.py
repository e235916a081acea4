"""Holds what type checkers say of right and wrong calls against what the files beside this one say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def run(*words: str) -> str:
    """What the module prints, whatever its status."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=HERE,
        env={**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout


def mypy(file: Path, cache: Path) -> dict[int, str]:
    """Line → complaint."""
    text = run("mypy", "--strict", "--no-error-summary", "--config-file=", f"--cache-dir={cache}", str(file))
    found = re.findall(rf"^{re.escape(file.name)}:(\d+): error: (.*)$", text, re.MULTILINE)
    assert len(found) == text.count(": error: "), text
    return {int(line): complaint for line, complaint in found}


def pyright(file: Path, cache: Path) -> dict[int, str]:
    """Line → complaint."""
    project = cache / "pyrightconfig.json"
    told = {"extraPaths": [str(ROOT)], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    project.write_text(json.dumps(told))
    shutil.copy(file, cache)  # it looks below its project's folder alone
    answer = json.loads(run("pyright", "--outputjson", "--project", str(project), "--pythonpath", sys.executable))
    assert answer["summary"]["filesAnalyzed"] == 1, answer
    return {each["range"]["start"]["line"] + 1: each["message"] for each in answer["generalDiagnostics"]}


@pytest.mark.parametrize("checker", [mypy, pyright])
@pytest.mark.parametrize("name", ["right.py", "wrong.py"])
def test_a_checker_complains_of_the_wrong_calls_alone(
    checker: Callable[[Path, Path], dict[int, str]], name: str, tmp_path: Path
) -> None:
    file = HERE / name
    expected = {n for n, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("  # error")}
    found = checker(file, tmp_path)
    missed = sorted(expected - found.keys())
    assert not missed, f"{name}: no complaint about the lines {missed}"
    assert found.keys() == expected, {line: found[line] for line in sorted(found.keys() - expected)}


def test_programs_that_use_the_package_find_its_types(root: Path) -> None:
    assert (root / "umbel" / "py.typed").read_bytes() == b""
