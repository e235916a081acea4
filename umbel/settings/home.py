"""Finds a project's root folder and the folder in which umbel keeps its files there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from umbel.errors import ConfigurationError

HOME_NAME = ".umbel"
HOME_VARIABLE = "UMBEL_HOME"

_MARKERS = ("pyproject.toml", "manage.py", "setup.py", ".git")


def project_root(cwd: Path) -> Path:
    """The nearest of ``cwd`` and its parents with a pyproject.toml, manage.py, setup.py or .git; else ``cwd``."""
    here = cwd.absolute()
    for folder in (here, *here.parents):
        if any(os.path.exists(folder / marker) for marker in _MARKERS):
            return folder
    return here


def home_folder(cwd: Path, environ: Mapping[str, str]) -> Path:
    """The absolute path of ``UMBEL_HOME``, else of ``.umbel`` in the project's root folder. Nothing is created.

    Raises ``ConfigurationError`` for a relative ``UMBEL_HOME``: processes started in different folders would not meet.
    """
    chosen = environ.get(HOME_VARIABLE)
    if not chosen:
        return project_root(cwd) / HOME_NAME
    folder = Path(chosen).expanduser()
    if not folder.is_absolute():
        raise ConfigurationError(
            f"{HOME_VARIABLE}={chosen} is relative, and would be another folder for a process started elsewhere; "
            f"set it to an absolute path, such as {(cwd / folder).absolute()}"
        )
    return folder


def embedded_url(cwd: Path, environ: Mapping[str, str]) -> str:
    """The URL of the SQLite file that is broker and result store when none is configured."""
    return sqlite_url(home_folder(cwd, environ) / "umbel.db")


def sqlite_url(path: Path) -> str:
    """``sqlite:///`` and the path; characters that mean something in a URL are percent-encoded."""
    return f"sqlite:///{quote(path.as_posix(), safe='/: !$&()*+,;=@[]{}^|~' + chr(39))}"


def sqlite_path(url: str) -> Path:
    """The path that ``sqlite_url`` put into a URL, its query left out; a relative one counts from the current folder.

    Raises ``ConfigurationError`` for a URL without a path.
    """
    address = url.partition("?")[0]
    path = unquote(address.removeprefix("sqlite:///"))
    if not address.startswith("sqlite:///") or not path:
        raise ConfigurationError(
            f"{address!r} names no file: write sqlite:///relative/path.db or sqlite:////absolute/path.db"
        )
    return Path(path)


def prepare_home(folder: Path) -> None:
    """Make the folder, and keep git from looking into it. Repeatable, and safe when several processes do it at once.

    A ``.gitignore`` that is there is left alone, and so is a folder that was there before and is not named ``.umbel``:
    its files may be somebody's to commit. Raises ``ConfigurationError`` when the folder cannot be made.
    """
    try:
        existed = folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        if existed and folder.name != HOME_NAME:
            return
        with open(folder / ".gitignore", "x", encoding="ascii") as ignore:
            ignore.write("*\n")
    except FileExistsError:
        if not folder.is_dir():
            raise ConfigurationError(
                f"{folder} is a file; umbel needs a folder there, or elsewhere: set {HOME_VARIABLE}"
            ) from None
    except OSError as error:
        raise ConfigurationError(
            f"cannot make the folder {folder}: {error.strerror}; set {HOME_VARIABLE} to a folder that can be written, "
            "or broker_url to a broker elsewhere"
        ) from error


def read_project_table(root: Path) -> tuple[Path, Mapping[str, Any]]:
    """The path of the folder's pyproject.toml and its table ``[tool.umbel]``, empty where there is none.

    Raises ``ConfigurationError`` when the file mentions umbel and cannot be read as TOML.
    """
    path = root / "pyproject.toml"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return path, {}
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if b"umbel" not in content:
        return path, {}
    import tomllib

    try:
        tools = tomllib.loads(content.decode()).get("tool", {})
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    table = tools.get("umbel", {}) if isinstance(tools, dict) else tools
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: tool.umbel is not a table; write its settings below a line [tool.umbel]")
    return path, table
