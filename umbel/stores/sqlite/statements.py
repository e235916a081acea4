"""Loads the named SQL statements of the files that lie beside it."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Mapping

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def script(name: str) -> str:
    """The whole text of one file; ``name`` is its path below this folder, with slashes."""
    content = pkgutil.get_data(__package__, name)
    if content is None:
        raise FileNotFoundError(f"{name} is missing from the installed package {__package__}")
    return content.decode()


def statements(name: str) -> Mapping[str, str]:
    """The statements of one file by the names in their ``-- name:`` lines."""
    parts = _NAME.split(script(name))
    return {parts[at]: parts[at + 1].strip().removesuffix(";") for at in range(1, len(parts), 2)}
