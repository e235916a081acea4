"""Builds the site, and looks whether its reference has every public name."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.pages import links

pytestmark = pytest.mark.slow

REFERENCE = Path(__file__).resolve().parent.parent.parent / "docs" / "reference"
MODULES = sorted("umbel" if page.stem == "umbel" else f"umbel.{page.stem}" for page in REFERENCE.glob("[!i]*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, interpreter: Callable[[str], Path], root: Path) -> Path:
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    python = str(interpreter("docs"))
    options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    command = [
        python,
        "-m",
        "sphinx",
        *options,
        "-c",
        "docs",
        "-d",
        str(folder / "doctrees"),
        ".",
        str(folder / "site"),
    ]
    done = subprocess.run(
        command, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def public(module: str) -> set[str]:
    """The names that a module offers: those that it lists, or those that it defines and that do not begin with _. A
    module among them has a page of its own."""
    loaded = import_module(module)
    if listed := getattr(loaded, "__all__", None):
        return {name for name in listed if not name.startswith("__") and f"{module}.{name}" not in MODULES}
    return {
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module
    }


@pytest.mark.parametrize("module", MODULES)
def test_the_reference_has_every_public_name(site: Path, module: str) -> None:
    page = site / "docs" / "reference" / f"{module.rpartition('.')[2]}.html"
    shown = set(re.findall(rf'id="{re.escape(module)}\.(\w+)"', page.read_text()))
    assert public(module) - shown == set()


def test_whoever_opens_the_folder_is_led_to_the_first_page(site: Path) -> None:
    assert "url=docs/index.html" in (site / "index.html").read_text()
    assert "A first evening" in (site / "docs" / "index.html").read_text()


def test_the_list_of_decisions_is_whole(root: Path) -> None:
    folder = root / "docs" / "decisions"
    assert sorted(links(folder / "index.md")) == sorted(page.name for page in folder.glob("0*.md"))
