"""The project's root folder, the folder of umbel's files, and the table in pyproject.toml."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from umbel.errors import ConfigurationError
from umbel.settings.home import (
    embedded_url,
    home_folder,
    prepare_home,
    project_root,
    read_project_table,
    sqlite_path,
    sqlite_url,
)


@pytest.mark.parametrize("marker", ["pyproject.toml", "manage.py", "setup.py", ".git"])
def test_the_root_is_the_nearest_parent_with_a_marker(tmp_path: Path, marker: str) -> None:
    (tmp_path / ".git").mkdir()
    project = tmp_path / "shop"
    inner = project / "src" / "deep"
    inner.mkdir(parents=True)
    (project / marker).touch()
    assert project_root(inner) == project
    assert project_root(project) == project
    assert project_root(tmp_path) == tmp_path


def test_without_a_marker_the_root_is_the_folder_itself() -> None:
    nowhere = Path("/a-folder-that-does-not-exist/inner")
    assert project_root(nowhere) == nowhere


def test_files_are_kept_in_the_root_whatever_folder_a_process_starts_in(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    inner = tmp_path / "src"
    inner.mkdir()
    assert embedded_url(inner, {}) == embedded_url(tmp_path, {}) == f"sqlite:///{tmp_path}/.umbel/umbel.db"
    assert embedded_url(inner, {}).startswith("sqlite:////")


def test_umbel_home_moves_the_files(tmp_path: Path) -> None:
    assert home_folder(tmp_path, {"UMBEL_HOME": "/srv/shop"}) == Path("/srv/shop")
    assert home_folder(tmp_path, {"UMBEL_HOME": "~/shop"}) == Path.home() / "shop"
    assert home_folder(tmp_path, {"UMBEL_HOME": ""}) == project_root(tmp_path) / ".umbel"


def test_a_relative_umbel_home_is_refused_with_the_absolute_path_to_write(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{tmp_path}/data"):
        home_folder(tmp_path, {"UMBEL_HOME": "data"})


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_any_path_survives_its_way_through_a_url(name: str) -> None:
    path = Path("/srv") / name / "umbel.db"
    assert sqlite_path(sqlite_url(path)) == path


def test_a_url_written_by_hand_is_understood() -> None:
    assert sqlite_path("sqlite:////srv/my shop/umbel.db") == Path("/srv/my shop/umbel.db")
    assert sqlite_path("sqlite:///umbel.db") == Path("umbel.db")
    assert sqlite_path("sqlite:////srv/umbel.db?mode=x") == Path("/srv/umbel.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite://host/umbel.db", "umbel.db"])
def test_a_url_without_a_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="names no file"):
        sqlite_path(url)


def test_preparing_makes_the_folder_and_keeps_git_out_of_it(tmp_path: Path) -> None:
    home = tmp_path / "new" / ".umbel"
    prepare_home(home)
    prepare_home(home)
    assert (home / ".gitignore").read_text() == "*\n"


def test_preparing_completes_a_folder_whose_maker_died_in_between(tmp_path: Path) -> None:
    home = tmp_path / ".umbel"
    home.mkdir()
    prepare_home(home)
    assert (home / ".gitignore").read_text() == "*\n"


def test_preparing_leaves_a_gitignore_of_the_user_alone(tmp_path: Path) -> None:
    home = tmp_path / ".umbel"
    home.mkdir()
    (home / ".gitignore").write_text("*.db\n")
    prepare_home(home)
    assert (home / ".gitignore").read_text() == "*.db\n"


def test_preparing_does_not_hide_the_files_of_a_folder_that_is_not_umbels(tmp_path: Path) -> None:
    prepare_home(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_preparing_from_many_threads_at_once_is_one_preparing(tmp_path: Path) -> None:
    home = tmp_path / ".umbel"
    errors: list[BaseException] = []
    barrier = threading.Barrier(8)

    def prepare() -> None:
        barrier.wait()
        try:
            prepare_home(home)
        except ConfigurationError as error:
            errors.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert (home / ".gitignore").read_text() == "*\n"


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / ".umbel").touch()
    with pytest.raises(ConfigurationError, match=r"\.umbel is a file.*UMBEL_HOME"):
        prepare_home(tmp_path / ".umbel")


def test_a_folder_that_cannot_be_made_says_why_and_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="Not a directory; set UMBEL_HOME"):
        prepare_home(tmp_path / "file" / ".umbel")


def test_the_table_of_a_project_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    assert read_project_table(tmp_path) == (path, {})
    path.write_text('[tool.umbel]\napp = "shop"\nworker_grace = 5\n')
    assert read_project_table(tmp_path) == (path, {"app": "shop", "worker_grace": 5})


@pytest.mark.parametrize("text", ["", "[project]\nname = 'shop'\n", "[tool.other]\nname = 'umbel'\n"])
def test_a_project_without_a_table_gives_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    assert read_project_table(tmp_path)[1] == {}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[tool.umbel\n", "not valid TOML"),
        (b"name = 'umbel \xff'", "not valid TOML"),
        (b"[tool]\numbel = 3\n", "tool.umbel is not a table"),
        (b"tool = 'umbel'\n", "tool.umbel is not a table"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "pyproject.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        read_project_table(tmp_path)
    assert str(tmp_path / "pyproject.toml") in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "pyproject.toml")
    with pytest.raises(ConfigurationError, match=r"cannot read .*pyproject.toml: Is a directory"):
        read_project_table(tmp_path)
