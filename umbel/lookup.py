"""Finds the app that a command is about."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from umbel.errors import AppNotFound
from umbel.imports import import_or_none
from umbel.settings.home import project_root, read_project_table
from umbel.settings.sources import APP_KEY, APP_VARIABLE

if TYPE_CHECKING:
    from umbel.app import Umbel

_ATTRIBUTES = ("app", "umbel", "celery")
_SUBMODULES = ("umbel", "celery", "tasks")
_FILES = ("tasks", "app")

_DJANGO = "DJANGO_SETTINGS_MODULE"
_DJANGO_SITE = "umbel.contrib.django.site"
_SET_DEFAULT = re.compile(rf"""setdefault\(\s*["']{_DJANGO}["']\s*,\s*["']([\w.]+)["']""")


class Found(NamedTuple):
    """The app, and the module and attribute in which it stands."""

    app: Umbel
    module: str
    attribute: str


def find_app(spec: str | None, *, cwd: Path, environ: Mapping[str, str]) -> Found:
    """The app that ``spec`` (``module`` or ``module:name``, the value of -A) names.

    Without a name: the module's ``app``, ``umbel`` or ``celery``, else its only app; then the same in its submodules
    ``umbel``, ``celery`` and ``tasks``. Without a spec: UMBEL_APP, then ``app`` of ``[tool.umbel]`` in the project's
    pyproject.toml, then the app of the Django site whose settings DJANGO_SETTINGS_MODULE or the project's manage.py
    names (which sets DJANGO_SETTINGS_MODULE), then tasks.py and app.py in ``cwd``.

    ``cwd`` becomes the first entry of ``sys.path`` and stays it. Raises ``AppNotFound``, listing every place tried
    and what was there. An error inside a module that is imported is raised as it is, with a note of what led there.
    """
    search = _Search(cwd)
    if spec is not None:
        return search.named(spec, f"-A {spec}") or search.fail()
    named = environ.get(APP_VARIABLE)
    if named:
        return search.named(named, f"{APP_VARIABLE}={named}") or search.fail()
    search.tried.append(f"-A, {APP_VARIABLE}: not given")
    root = project_root(cwd)
    path, table = read_project_table(root)
    if APP_KEY in table:
        named, where = table[APP_KEY], f"{path} [tool.umbel] {APP_KEY}"
        if not isinstance(named, str):
            raise AppNotFound(f'{where} is {named!r}; write it as text: app = "module:name"')
        search.add_to_path(root)
        return search.named(named, f"{where} = {named!r}") or search.fail()
    search.tried.append(f"{path}: {'no app in [tool.umbel]' if path.exists() else 'no such file'}")
    return search.in_django(root, environ) or search.in_files() or search.fail()


class _Search:
    """One look for the app; remembers every place tried, for the error."""

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd.absolute()
        self.tried: list[str] = []
        self.add_to_path(self._cwd, first=True)
        importlib.invalidate_caches()

    def add_to_path(self, folder: Path, *, first: bool = False) -> None:
        """Make the folder importable: in front of everything, or right after the current folder."""
        entry = str(folder)
        if first:
            if entry in sys.path:
                sys.path.remove(entry)
            sys.path.insert(0, entry)
        elif entry not in sys.path:
            sys.path.insert(1, entry)

    def fail(self) -> Found:
        """Raise the error that lists what was tried."""
        raise AppNotFound(
            "\n  ".join(["no app found:", *self.tried])
            + '\nName it with -A module or -A module:name, or make one in tasks.py: app = Umbel("tasks")'
        )

    def named(self, spec: str, source: str) -> Found | None:
        """What ``module`` or ``module:name`` leads to; ``source`` is how the user said it."""
        name, colon, attribute = spec.strip().partition(":")
        if not all(part.isidentifier() for part in name.split(".")) or (colon and not attribute):
            self.tried.append(f"{source}: not of the form module or module:name{self._as_module(name)}")
            return None
        module = self._import(name, source)
        if module is None:
            self.tried.append(f"{source}: no module {name!r} in {self._cwd} or elsewhere on sys.path{self._near(name)}")
            return None
        if colon:
            return self._at(module, attribute, source)
        return self._in_module(module) or self._in_submodules(module, source)

    def in_django(self, root: Path, environ: Mapping[str, str]) -> Found | None:
        """The app that ``umbel.contrib.django`` makes for a site."""
        manage = root / "manage.py"
        module, source = environ.get(_DJANGO), _DJANGO
        if not module and manage.is_file():
            named = _SET_DEFAULT.search(manage.read_text(encoding="utf-8", errors="replace"))
            module, source = (named[1] if named else None), str(manage)
        if not module:
            self.tried.append(f"{_DJANGO}: not given; {manage}: {'names none' if manage.is_file() else 'no such file'}")
            return None
        if importlib.util.find_spec("django") is None:
            self.tried.append(f"{source} = {module}: Django is not installed")
            return None
        self.add_to_path(root)
        os.environ.setdefault(_DJANGO, module)
        site = self._import(_DJANGO_SITE, f"{source} = {module}")
        found = self._in_module(site) if site is not None else None
        if found is None:
            self.tried[-1] = f"{source} = {module}: 'umbel.contrib.django' is not among its INSTALLED_APPS"
        return found

    def in_files(self) -> Found | None:
        """The app in tasks.py or app.py of the current folder."""
        for name in _FILES:
            path = self._cwd / f"{name}.py"
            if not path.is_file():
                self.tried.append(f"{path}: no such file")
                continue
            module = self._import(name, f"{path}, looked at because no app was named")
            found = module and self._in_module(module)
            if found:
                return found
        return None

    def _in_submodules(self, package: ModuleType, source: str) -> Found | None:
        if not hasattr(package, "__path__"):
            return None
        for short in _SUBMODULES:
            name = f"{package.__name__}.{short}"
            module = self._import(name, source)
            if module is None:
                self.tried.append(f"{name}: no such module")
                continue
            found = self._in_module(module)
            if found:
                return found
        return None

    def _in_module(self, module: ModuleType) -> Found | None:
        from umbel.app import Umbel

        there = []
        for name in _ATTRIBUTES:
            value = getattr(module, name, None)
            if isinstance(value, Umbel):
                return Found(value, module.__name__, name)
            if value is not None and not isinstance(value, ModuleType):
                there.append(f"{name} is {_described(value)}")
        apps = {id(value): name for name, value in vars(module).items() if isinstance(value, Umbel)}
        if len(apps) > 1:
            names = " or ".join(f"{module.__name__}:{name}" for name in sorted(apps.values()))
            raise AppNotFound(f"{module.__name__} has several apps; say which: -A {names}")
        for name in apps.values():
            return Found(getattr(module, name), module.__name__, name)
        self.tried.append(f"{module.__name__} ({_file(module)}): no app in it" + "".join(f"; {fact}" for fact in there))
        return None

    def _at(self, module: ModuleType, attribute: str, source: str) -> Found | None:
        from umbel.app import Umbel

        value: object = module
        for part in attribute.split("."):
            if not hasattr(value, part):
                near = difflib.get_close_matches(part, dir(value), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                self.tried.append(f"{source}: no {part!r} in {_file(module)}{hint}")
                return None
            value = getattr(value, part)
        if isinstance(value, Umbel):
            return Found(value, module.__name__, attribute)
        self.tried.append(f"{source}: in {_file(module)} it is {_described(value)}, not an app")
        return None

    def _import(self, name: str, source: str) -> ModuleType | None:
        return import_or_none(name, f"while importing {name!r} to find the app ({source})")

    def _as_module(self, text: str) -> str:
        """A hint for somebody who wrote a path where a module's name belongs."""
        parts = Path(text.removesuffix(".py")).parts
        name = ".".join(part for part in parts if part != ".")
        return f"; write {name}" if name and name != text and all(map(str.isidentifier, name.split("."))) else ""

    def _near(self, name: str) -> str:
        """What the current folder has that may have been meant."""
        if name.endswith(".py"):
            return f"; without .py: {name.removesuffix('.py')}"
        modules = [path.stem for path in self._cwd.glob("*.py")]
        packages = [path.parent.name for path in self._cwd.glob("*/__init__.py")]
        near = difflib.get_close_matches(name, modules + packages, n=1)
        return f"; did you mean {near[0]!r}?" if near else ""


def _file(module: ModuleType) -> str:
    return str(getattr(module, "__file__", None) or "no file")


def _described(value: object) -> str:
    from umbel.task import Task

    if isinstance(value, Task):
        return f"the task {value.name}"
    kind = value if isinstance(value, type) else type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"the class {name}" if isinstance(value, type) else f"of type {name}"
