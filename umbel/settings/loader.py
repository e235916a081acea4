"""The settings of an app, put together from all sources by their precedence when one is first read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from umbel.errors import ConfigurationError, UnknownSetting
from umbel.settings.home import project_root, read_project_table
from umbel.settings.options import OPTIONS
from umbel.settings.sources import (
    CONFIG_VARIABLE,
    ConfigObject,
    Given,
    Layer,
    from_code,
    from_command_line,
    from_environment,
    from_project,
    worked_out,
)

_NONE: Layer = {}


class _Chosen(NamedTuple):
    """What the program itself said. Replaced as a whole by every write, so that readers need no lock."""

    constructor: Layer = _NONE
    source: ConfigObject | None = None
    written: Layer = _NONE
    command_line: Layer = _NONE


class _Outside(NamedTuple):
    """What the surroundings said, at the first read."""

    environment: Layer
    module: Layer
    project: Layer
    defaults: Mapping[str, Any]


class _Effective(NamedTuple):
    """Every setting's value, and what they were put together from: good for as long as that is what is chosen."""

    chosen: _Chosen
    settings: Layer


class Owner(Protocol):
    """Whose settings they are."""

    def tell(self, name: str, **arguments: Any) -> None: ...


class Settings(Mapping[str, Any]):
    """``app.conf``: every setting, read and written as an attribute or an item.

    From strongest to weakest: command line, environment, writes, constructor, ``config_from_object`` (the last call;
    without one, the module that UMBEL_CONFIG_MODULE names), ``[tool.umbel]`` of the project's pyproject.toml, defaults.
    Nothing outside the process is read, and no module imported, before the first setting is read; environment and
    pyproject.toml are read once, then. Reading is safe from several threads and takes no lock; writing is safe too.

    An unknown name raises ``UnknownOption``; a value of the wrong type raises ``ConfigurationError``: of the
    constructor, of writes and of the command line at once, of the other sources at the first read.

    ``environ`` and ``cwd`` stand in for the process's own.
    """

    _chosen: _Chosen
    _owner: Owner | None
    _outside: _Outside | None
    _effective: _Effective | None

    def __init__(
        self,
        constructor: Mapping[str, Any] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._environ = environ
        self._cwd = cwd
        self._writing = threading.Lock()
        self._owner: Owner | None = None
        """Who is told of the first read; None once it was."""
        self._listeners: list[Callable[[], None]] = []
        """Who keeps values of their own; ``on_write`` alone adds."""
        self._chosen = _Chosen(constructor=from_code(constructor or {}, "Umbel()", "constructor"))
        self._outside = None
        self._effective = None

    # -- reading --------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        return self._find(name).value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self._find(name).value

    def __contains__(self, name: object) -> bool:
        return name in OPTIONS

    def __iter__(self) -> Iterator[str]:
        return iter(OPTIONS)

    def __len__(self) -> int:
        return len(OPTIONS)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *OPTIONS]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}>"

    def origin(self, name: str) -> str:
        """Where the setting's value comes from, in words: "environment UMBEL_BROKER_URL", "constructor", "default" …"""
        return self._find(name).origin

    def table(self) -> list[tuple[str, str, str]]:
        """Every setting's name, its value as people may see it (passwords are stars) and its origin, by name."""
        return [
            (name, OPTIONS[name].show(given.value), given.origin) for name, given in sorted(self._combined().items())
        ]

    # -- writing --------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self.update({name: value})

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def update(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Write several settings: all of them, or none when one is refused."""
        layer = from_code({**(values or {}), **more}, "app.conf", "app.conf")
        with self._writing:
            self._chosen = self._chosen._replace(written={**self._chosen.written, **layer})
        self._tell()

    def config_from_object(self, source: Any, *, namespace: str | None = None) -> None:
        """Take settings from a module, its name (also ``module:attribute``), a class, an object or a mapping.

        A name is imported at the next read, not now. Without ``namespace``, attributes named as a setting count, and
        others that start like one (``task_``, ``worker_`` …) are errors; with ``namespace="UMBEL"`` those named
        ``UMBEL_TASK_SERIALIZER`` and so on count, and others with that beginning are errors. The last call wins.
        """
        loaded = ConfigObject(source, namespace)
        with self._writing:
            self._chosen = self._chosen._replace(source=loaded)
        self._tell()

    def config_from_envvar(self, variable: str, *, namespace: str | None = None) -> None:
        """As ``config_from_object``, with the name of the module in an environment variable.

        Raises ``ConfigurationError`` when it is not set.
        """
        name = (os.environ if self._environ is None else self._environ).get(variable)
        if not name:
            raise ConfigurationError(
                f"config_from_envvar: the environment variable {variable} is not set; set it to the name of the module "
                "that holds the settings"
            )
        self.config_from_object(name, namespace=namespace)

    def set_from_command_line(self, values: Mapping[str, Any]) -> None:
        """Write settings that beat every other source; texts are cast to what each setting takes."""
        layer = from_command_line(values)
        with self._writing:
            self._chosen = self._chosen._replace(command_line={**self._chosen.command_line, **layer})
        self._tell()

    @contextmanager
    def overridden(self, values: Mapping[str, Any], origin: str) -> Iterator[None]:
        """Within the block these values beat every other source, the command line too; ``origin`` says who gave them.

        What is written in the block otherwise stays. Raises as ``update``.
        """
        layer = from_code(values, origin, origin)
        with self._writing:
            before = self._chosen.command_line
            self._chosen = self._chosen._replace(command_line={**before, **layer})
        self._tell()
        try:
            yield
        finally:
            with self._writing:
                self._chosen = self._chosen._replace(command_line=before)
            self._tell()

    def on_write(self, changed: Callable[[], None]) -> None:
        """Call ``changed()`` after every write: for who reads settings so often that it keeps them."""
        self._listeners.append(changed)

    def on_first_read(self, owner: Owner) -> None:
        """Have ``owner`` tell of the first read, before it and after it."""
        self._owner = owner

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()

    # -- putting together -----------------------------------------------------------------------------------------

    def _find(self, name: str) -> Given:
        given = self._combined().get(name) if name in OPTIONS else None
        if given is None:
            raise UnknownSetting("app.conf", name, OPTIONS)
        return given

    def _combined(self) -> Layer:
        effective, chosen = self._effective, self._chosen
        if effective is None or effective.chosen is not chosen:
            if self._owner is not None:
                return self._first(self._owner)
            effective = self._effective = _Effective(chosen, self._combine(chosen))
        return effective.settings

    def _first(self, owner: Owner) -> Layer:
        self._owner = None
        owner.tell("on_configure")
        self._combined()
        owner.tell("on_after_configure", source=self)
        return self._combined()

    def _combine(self, chosen: _Chosen) -> Layer:
        outside = self._look_outside()
        weakest_first = (
            {name: Given(outside.defaults.get(name, option.default), "default") for name, option in OPTIONS.items()},
            outside.project,
            chosen.source.layer() if chosen.source is not None else outside.module,
            chosen.constructor,
            chosen.written,
            outside.environment,
            chosen.command_line,
        )
        combined = {name: given for layer in weakest_first for name, given in layer.items()}
        for name, value in outside.defaults.items():
            if combined[name].value is None:
                combined[name] = Given(value, combined[name].origin)
        return combined

    def _look_outside(self) -> _Outside:
        if self._outside is None:
            environ = os.environ if self._environ is None else self._environ
            cwd = self._cwd or _current_folder()
            self._outside = _Outside(
                from_environment(environ),
                _module_named(environ),
                from_project(*read_project_table(project_root(cwd))),
                worked_out(cwd, environ),
            )
        return self._outside


def _module_named(environ: Mapping[str, str]) -> Layer:
    name = environ.get(CONFIG_VARIABLE)
    return ConfigObject(name).layer() if name else _NONE


def _current_folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise ConfigurationError("the current folder has been deleted; start from one that exists") from None
