"""Reads the URL of an SQLite store."""

from __future__ import annotations

import os
from typing import NamedTuple
from urllib.parse import parse_qsl

from umbel.errors import ConfigurationError, UnknownOption
from umbel.settings.home import sqlite_path

_TRUTHS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


class Location(NamedTuple):
    """Where the file is, absolute and free of symbolic links; ``any_filesystem`` lifts the check of what it lies on."""

    path: str
    any_filesystem: bool = False


def locate(url: str) -> Location:
    """The location that a ``sqlite:`` URL names; a relative path counts from the current folder of this moment.

    Raises ``ConfigurationError`` for a URL without a file, ``UnknownOption`` for an option that does not exist.
    """
    path = str(sqlite_path(url))
    if path == ":memory:":
        raise ConfigurationError("sqlite:///:memory: would be another store for every connection; use memory://")
    any_filesystem = False
    for name, value in parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if name != "any_filesystem":
            raise UnknownOption("sqlite URL", name, ("any_filesystem",))
        if value.lower() not in _TRUTHS:
            raise ConfigurationError(f"sqlite URL: any_filesystem={value!r} is neither 1 nor 0")
        any_filesystem = _TRUTHS[value.lower()]
    return Location(os.path.realpath(path), any_filesystem)
