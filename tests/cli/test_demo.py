"""Tests the demo as somebody starts it who has just installed umbel."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest

from tests.cli.project import PATIENCE, Project, wait_until


def test_it_says_where_its_page_is_and_leaves_nothing_behind(project: Project, tmp_path: Path) -> None:
    home = tmp_path / "tmp"
    home.mkdir()
    project.environ["TMPDIR"] = str(home)
    project.strict = False
    with project.start("demo") as running:
        wait_until(lambda: "in a browser" in running.output)
        (url,) = re.findall(r"http://[\d.:]+/", running.output)
        with urllib.request.urlopen(url, timeout=PATIENCE) as page:
            assert b"A report in stages" in page.read()
        assert list(home.iterdir())
        running.interrupt()
        assert running.end() in (0, 130)
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("option", [("-A", "tasks"), ("--set", "worker_concurrency=1")])
def test_it_is_about_no_other_app(project: Project, option: tuple[str, str]) -> None:
    done = project.run(*option, "demo")
    assert done.returncode == 2
    assert "the demo has an app of its own" in done.stderr
