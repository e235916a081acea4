"""Imports a module by name and tells a module that is not there from one that fails."""

from __future__ import annotations

import importlib
from types import ModuleType


def import_or_none(name: str, why: str) -> ModuleType | None:
    """The module, imported; None when it, or a package that its name goes through, does not exist.

    An error raised while the module runs is raised as it is, a missing module that it imports itself included, with
    ``why`` (who wanted it) as a note.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return None
        error.add_note(why)
        raise
    except Exception as error:
        error.add_note(why)
        raise


def half_imported(module: ModuleType) -> bool:
    """Whether the module's own code has not ended yet, so that names may still be missing from it."""
    return bool(getattr(module.__spec__, "_initializing", False))
