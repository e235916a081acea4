"""Reads YAML of unknown senders: plain values only, and never more of them than their text would lead to expect."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from umbel.errors import DecodeError, MissingExtra

MAX_YAML = 2**20
"""Bytes of a YAML text; reading takes some ten seconds for this many in the worst case."""

MAX_EXPANDED = 2**24
"""Values and characters that a text may stand for once every alias is replaced by what it refers to."""

MAX_HEIGHT = 1000
"""Containers within containers, likewise."""

MAX_DIGITS = 4300
"""Characters of a whole number, in any of its notations."""


def package() -> Any:
    """The package that reads and writes YAML; raises ``MissingExtra``."""
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingExtra("the serializer yaml", "yaml") from None
    return yaml


def read_yaml(text: str) -> Any:
    """The value of a YAML text. Raises ``DecodeError`` for what is beyond a limit, and what the package raises."""
    yaml = package()
    if len(text) > MAX_YAML:
        raise DecodeError("body", f"has {len(text)} characters, at most {MAX_YAML} are read as YAML")
    value = yaml.load(text, _loader())
    if "*" in text:
        _refuse_expansion(value)
    return value


@functools.cache
def _loader() -> Any:
    """The safe loader written in Python (the one in C overruns its stack on deep nesting), without merge keys, which
    multiply what they merge, and with an end to numbers, which take a time that grows with their square."""
    safe: Any = package().SafeLoader

    class Loader(safe):  # type: ignore[misc]
        def flatten_mapping(self, node: Any) -> None:
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":
                    raise DecodeError("body", "uses a merge key (<<) of YAML, which is not read here")
            super().flatten_mapping(node)

        def construct_yaml_int(self, node: Any) -> Any:
            if len(node.value) > MAX_DIGITS:
                raise DecodeError(
                    "body", f"has a number of {len(node.value)} characters, at most {MAX_DIGITS} are read"
                )
            return super().construct_yaml_int(node)

    Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
    return Loader


def _refuse_expansion(value: Any) -> None:
    """Raise ``DecodeError`` where aliases make a value contain itself, or far more than its text."""
    done: dict[int, tuple[int, int]] = {}
    """id → (size, height) of everything whose parts are done."""
    above: set[int] = set()
    """id of everything that is being looked into."""
    stack: list[tuple[Any, bool]] = [(value, False)]
    while stack:
        found, leaving = stack.pop()
        key = id(found)
        if leaving:
            sizes = [done[id(part)] for part in _parts(found)]
            done[key] = 1 + sum(size for size, _ in sizes), 1 + max((height for _, height in sizes), default=0)
            above.discard(key)
            if done[key][0] > MAX_EXPANDED or done[key][1] > MAX_HEIGHT:
                raise DecodeError("body", "stands, by its aliases, for more than is read as YAML")
        elif key in above:
            raise DecodeError("body", "contains itself, by an alias")
        elif isinstance(found, (list, tuple, dict, set)):
            if key not in done:
                above.add(key)
                stack.append((found, True))
                stack += [(part, False) for part in _parts(found)]
        else:
            done[key] = (1 + len(found) if isinstance(found, (str, bytes)) else 1), 0


def _parts(container: Any) -> Iterable[Any]:
    return [*container, *container.values()] if isinstance(container, dict) else container
