"""Builds the package, installs it with everything that it offers, and looks at what arrived."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.architecture.source import tracked
from tools.environment import run

UNPINNED = frozenset({"umbel"})


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    """The project table of pyproject.toml."""
    with (root / "pyproject.toml").open("rb") as file:
        table: dict[str, Any] = tomllib.load(file)["project"]
    return table


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


def pinned(file: Path) -> dict[str, Version]:
    """Name → version of a file of pins."""
    return {name: Version(version) for name, version in re.findall(r"^([a-z0-9-]+)==(\S+)", file.read_text(), re.M)}


def test_the_wheel_has_every_file_of_the_package_and_nothing_else(root: Path, wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    files = {path.relative_to(root).as_posix() for path in tracked(root)}
    assert {name for name in files if name.startswith("umbel/")} <= names
    assert "umbel/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"umbel"}
    assert not [name for name in names if "__pycache__" in name]


def test_every_entry_point_leads_to_something(project: dict[str, Any]) -> None:
    points = [("umbel", project["scripts"]["umbel"])]
    points += [entry for group in project["entry-points"].values() for entry in group.items()]
    for name, value in points:
        found = EntryPoint(name, value, "umbel").load()
        assert callable(found) or isinstance(found, ModuleType)  # pytest takes a plugin as a module


def test_everything_that_the_package_offers_installs_and_is_found_by_its_entry_points(
    wheel: Path, root: Path, interpreter: Callable[[str], Path], tmp_path: Path
) -> None:
    uv = interpreter("uv").with_name("uv")
    python = tmp_path / "venv" / "bin" / "python"
    run([uv, "venv", "-q", "--python", sys.executable, tmp_path / "venv"], tmp_path)
    wanted = ["--constraint", str(root / "requirements" / "dev.txt"), f"umbel[all] @ {wheel.as_uri()}"]
    run([uv, "pip", "install", "-q", "--python", python, *wanted], tmp_path)
    program = (
        "import brotli, click, cryptography, hiredis, msgpack, pamqp, rich, yaml, zstandard\n"
        "from importlib.metadata import entry_points, version\n"
        "print(version('umbel'), sorted(point.name for point in entry_points(group='umbel.brokers')))\n"
    )
    done = subprocess.run([python, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    brokers = ["amqp", "amqps", "memory", "pyamqp", "redis", "redis+socket"]
    brokers += ["rediscluster", "redisclusters", "rediss"]
    brokers += ["sentinel", "sentinels", "sqlite", "valkey", "valkeys"]
    assert done.stdout.split(maxsplit=1)[1].strip() == str(brokers)


def test_the_development_pins_hold_everything_that_the_package_may_need(root: Path, project: dict[str, Any]) -> None:
    pins = pinned(root / "requirements" / "dev.txt")
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *(line for lines in extras.values() for line in lines)]:
        requirement = Requirement(text)
        if requirement.name not in UNPINNED:
            assert pins[requirement.name.lower()] in requirement.specifier, text


def test_all_names_every_other_extra(project: dict[str, Any]) -> None:
    (everything,) = project["optional-dependencies"]["all"]
    assert Requirement(everything).extras == set(project["optional-dependencies"]) - {"all"}


def test_every_list_of_wishes_is_pinned_with_hashes(root: Path) -> None:
    wishes = sorted((root / "requirements").glob("*.in"))
    assert {path.stem for path in wishes} == {path.stem for path in (root / "requirements").glob("*.txt")}
    for path in wishes:
        pins = path.with_suffix(".txt")
        names = {Requirement(line).name.lower() for line in path.read_text().splitlines() if not line.startswith("#")}
        assert names <= set(pinned(pins)), path
        assert all("--hash=sha256:" in part for part in re.split(r"^(?=\S+==)", pins.read_text(), flags=re.M)[1:]), path


def test_make_test_brings_every_environment(root: Path) -> None:
    listed = re.search(r"^ENVIRONMENTS := (.*)$", (root / "Makefile").read_text(), re.M)
    assert listed
    assert set(listed[1].split()) == {path.stem for path in (root / "requirements").glob("*.in")} - {"uv"}


def test_make_alone_lists_its_targets(root: Path) -> None:
    listing = subprocess.run(["make", "-s"], cwd=root, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.M)
    assert phony
    assert {line.split()[1] for line in listing.splitlines()} == set(phony[1].split())
