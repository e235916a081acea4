"""Where an app comes from, so that another process can find the same one."""

from __future__ import annotations

import importlib
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from umbel.app import MAIN_COPY, Umbel
from umbel.errors import ConfigurationError

_OF_OURS = frozenset({"umbel.contrib.demo.tasks", "umbel.contrib.django.site"})
"""The modules of umbel that have an app."""


@dataclass(frozen=True, slots=True)
class Origin:
    """``module`` and ``attribute`` name the app; ``script`` is its file if it is a program's ``__main__``."""

    module: str
    attribute: str
    script: str | None = None

    def load(self) -> Umbel:
        """Import the module and give the app.

        Raises what the import raises, and ``ConfigurationError`` when the attribute is no app.
        """
        if self.script is not None:
            app: Any = runpy.run_path(self.script, run_name=MAIN_COPY).get(self.attribute)
        else:
            app = importlib.import_module(self.module)
            for name in self.attribute.split("."):
                app = getattr(app, name, None)
        if not isinstance(app, Umbel):
            raise ConfigurationError(f"{self.script or self.module}:{self.attribute} is {app!r}, not an app")
        return app


def origin_of(app: Umbel) -> Origin:
    """Where ``app`` can be imported from: the first module that has it among its globals.

    Raises ``ConfigurationError`` when there is none: another process could not find it.
    """
    for name, module in sorted(sys.modules.items(), key=lambda item: item[0] == "__main__"):
        if name == "umbel" or (name.startswith("umbel.") and name not in _OF_OURS):
            continue
        for attribute, value in list(getattr(module, "__dict__", {}).items()):
            if value is app:
                if name != "__main__":
                    return Origin(name, attribute)
                script = getattr(module, "__file__", None)
                if script is not None:
                    return Origin(name, attribute, str(Path(script).resolve()))
    raise ConfigurationError(
        f"{app!r} is not a global of any module, so a runner process could not import it: "
        "make it one, or use the pool 'solo'"
    )
