"""Reads each source of settings into a layer: the names that it sets, each with its value and where that came from."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from umbel.errors import ConfigurationError, UnknownOption
from umbel.imports import half_imported, import_or_none
from umbel.settings.cpus import available_cpus
from umbel.settings.home import HOME_VARIABLE, embedded_url, home_folder
from umbel.settings.option import ENVIRONMENT_PREFIX, Option
from umbel.settings.options import MODULE_PREFIXES, OPTIONS


class Given(NamedTuple):
    """A value as its option keeps it, and where it came from."""

    value: Any
    origin: str


Layer = Mapping[str, Given]

APP_VARIABLE = "UMBEL_APP"
APP_KEY = "app"
CONFIG_VARIABLE = "UMBEL_CONFIG_MODULE"

_NOT_SETTINGS = frozenset({APP_VARIABLE, CONFIG_VARIABLE, HOME_VARIABLE})
_NOT_SETTINGS_PREFIXES = ("UMBEL_TEST_", "UMBEL_ALLOW_")


def known(name: str, what: str) -> Option:
    """The option of that name; raises ``UnknownOption`` with the nearest, beginning with ``what``."""
    option = OPTIONS.get(name)
    if option is None:
        raise UnknownOption(what, name, OPTIONS)
    return option


def from_code(values: Mapping[str, Any], what: str, origin: str) -> Layer:
    """Values that Python code gave. Raises ``UnknownOption`` beginning with ``what``, and ``ConfigurationError``."""
    return {name: Given(known(name, what).accept(value, origin), origin) for name, value in values.items()}


def from_command_line(values: Mapping[str, Any]) -> Layer:
    """Texts are cast to what the option takes; other values are checked as they are. Raises as ``from_code``."""
    layer = {}
    for name, value in values.items():
        option = known(name, "command line")
        convert = option.read if isinstance(value, str) else option.accept
        layer[name] = Given(convert(value, f"command line, {name}"), "command line")
    return layer


def from_environment(environ: Mapping[str, str]) -> Layer:
    """What the variables with the prefix say. Raises as ``from_code``, at the first one that is wrong."""
    options = {option.environment_name: option for option in OPTIONS.values()}
    layer = {}
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in _NOT_SETTINGS:
            continue
        if variable.startswith(_NOT_SETTINGS_PREFIXES):
            continue
        if variable not in options:
            raise UnknownOption("environment", variable, options)
        origin = f"environment {variable}"
        option = options[variable]
        layer[option.name] = Given(option.read(environ[variable], origin), origin)
    return layer


def from_project(path: Path, table: Mapping[str, Any]) -> Layer:
    """What ``[tool.umbel]`` says, the key for the app's name left out. Raises as ``from_code``."""
    where = f"{path} [tool.umbel]"
    for name in table:
        if name not in OPTIONS and name != APP_KEY:
            raise UnknownOption(where, name, {*OPTIONS, APP_KEY})
    return from_code({name: value for name, value in table.items() if name != APP_KEY}, where, where)


class ConfigObject:
    """What ``config_from_object`` was given; imported and read at the first look, then kept."""

    def __init__(self, source: Any, namespace: str | None = None) -> None:
        if isinstance(source, str) and not source.partition(":")[0].strip():
            raise ConfigurationError(
                "config_from_object takes the name of a module, such as 'shop.umbel_settings', a class or an object; "
                f"got {source!r}"
            )
        self._source = source
        self._prefix = f"{namespace.rstrip('_')}_" if namespace else None
        self._layer: Layer | None = None

    def layer(self) -> Layer:
        """The settings in it.

        Raises ``ConfigurationError`` when there is no such module or attribute, when it is still being imported (it
        imports a module that reads settings), or for a value of the wrong type; ``UnknownOption`` for a name that is
        meant as a setting and is none. An error inside the module is raised as it is, with a note.
        """
        if self._layer is None:
            holder, origin = self._load()
            self._layer = from_code(dict(self._settings(holder, origin)), origin, origin)
        return self._layer

    def _load(self) -> tuple[Any, str]:
        if isinstance(self._source, str):
            module_name, _, path = self._source.partition(":")
            holder: Any = _import(module_name, self._source)
            for attribute in filter(None, path.split(".")):
                if not hasattr(holder, attribute):
                    raise ConfigurationError(f"config_from_object({self._source!r}): {module_name} has no {path!r}")
                holder = getattr(holder, attribute)
        else:
            holder = self._source
        if isinstance(holder, ModuleType):
            if half_imported(holder):
                raise ConfigurationError(
                    f"the settings in {holder.__name__} are needed while it is still being imported: it imports, "
                    "perhaps through other modules, one that reads a setting at once; move that import, or that "
                    "reading, into a function"
                )
            return holder, str(getattr(holder, "__file__", None) or f"module {holder.__name__}")
        if isinstance(holder, type):
            return holder, f"class {holder.__module__}.{holder.__qualname__}"
        return holder, self._source if isinstance(
            self._source, str
        ) else f"config_from_object, a {type(holder).__name__}"

    def _settings(self, holder: Any, origin: str) -> Iterator[tuple[str, Any]]:
        """A mapping holds nothing but settings; of a module, a class or an object only some attributes are meant."""
        strict = isinstance(holder, Mapping)
        names = list(holder) if strict else [name for name in dir(holder) if not name.startswith("_")]
        read: Callable[[str], Any] = holder.__getitem__ if strict else lambda name: getattr(holder, name)
        for name in names:
            if self._prefix is None:
                if name in OPTIONS or strict or name.startswith(MODULE_PREFIXES):
                    yield name, read(name)
            elif str(name).startswith(self._prefix):
                setting = name.removeprefix(self._prefix).lower()
                if setting not in OPTIONS:
                    raise UnknownOption(origin, name, {self._prefix + option.upper() for option in OPTIONS})
                yield setting, read(name)


def _import(name: str, source: str) -> ModuleType:
    module = import_or_none(name, f"while reading settings: config_from_object({source!r})")
    if module is None:
        raise ConfigurationError(
            f"config_from_object({source!r}): there is no module {name!r}; "
            "correct the name, or put its folder on sys.path"
        )
    return module


def worked_out(cwd: Path, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The values of settings whose default depends on the machine; where None is allowed, it stands for them too."""
    msgpack = importlib.util.find_spec("msgpack") is not None
    return {
        "broker_url": embedded_url(cwd, environ),
        "worker_state_dir": str(home_folder(cwd, environ)),
        "worker_concurrency": available_cpus(),
        "accept_content": ("json", "msgpack") if msgpack else ("json",),
    }
