"""Rules on who imports whom inside the package."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import Source, sources

LATE = frozenset({"asyncio", "sqlite3", "ssl", "multiprocessing", "logging.config"})
"""Costly modules of the standard library that ``import umbel`` must not bring."""

PROMPT = ("umbel", "umbel.app", "umbel.task", "umbel.registry", "umbel.publisher", "umbel.result", "umbel.settings")
"""What a program imports that only sends tasks."""

ADAPTERS = ("umbel.brokers", "umbel.backends")


def imported(source: Source) -> Iterator[tuple[int, str, str | None]]:
    """Every import statement, wherever it stands: its line, the module, and the name taken from it if any."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, node.module, alias.name) for alias in node.names)


def graph(root: Path) -> dict[str, set[str]]:
    """Module → the modules of the package that it imports: in functions and under TYPE_CHECKING too."""
    package = list(sources(root, "umbel"))
    known = {source.module for source in package}
    edges = {}
    for source in package:
        targets = (
            f"{module}.{name}" if f"{module}.{name}" in known else module for _, module, name in imported(source)
        )
        edges[source.module] = {target for target in targets if target in known}
    return edges


def circles(root: Path) -> list[str]:
    """Groups of modules that import each other in a ring, however long, with the imports that make it."""
    edges = graph(root)
    reach = {module: _reachable(edges, module) for module in edges}
    rings = {frozenset(other for other in reach[module] if module in reach[other]) for module in edges}
    complaints = []
    for ring in filter(None, rings):
        inside = [f"    {module} imports {', '.join(sorted(edges[module] & ring))}" for module in sorted(ring)]
        complaints.append("\n".join([f"these import each other in a circle: {', '.join(sorted(ring))}", *inside]))
    return complaints


def _reachable(edges: dict[str, set[str]], start: str) -> set[str]:
    """Every module at the end of one or more imports from ``start``."""
    seen: set[str] = set()
    ahead = list(edges[start])
    while ahead:
        module = ahead.pop()
        if module not in seen:
            seen.add(module)
            ahead.extend(edges[module])
    return seen


def front_door(root: Path) -> list[str]:
    """Modules that come in by ``umbel`` itself, where names are resolved late and floors cannot be seen."""
    return [
        f"{module}: imports from 'umbel' itself; import from the module that defines the name"
        for module, targets in sorted(graph(root).items())
        if "umbel" in targets
    ]


def hidden_imports(root: Path) -> list[str]:
    """Imports of the package by a string, which no contract sees; only the front door may."""
    complaints = []
    for source in sources(root, "umbel"):
        if source.place == "umbel/__init__.py":
            continue
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            named = isinstance(first, ast.Constant) and str(first.value).split(".")[0] == "umbel"
            if function in ("import_module", "__import__") and named:
                complaints.append(f"{source.place}:{node.lineno}: imports umbel by a string; write an import")
    return complaints


def adapters_reached_directly(root: Path) -> list[str]:
    """Imports of a broker or a backend from outside that adapter; it is reached by its URL, through ``umbel.plug``."""
    complaints = []
    for source in sources(root, "umbel"):
        for line, module, name in imported(source):
            path = (f"{module}.{name}" if name else module).split(".")
            adapter = path[:3]
            inside = source.module.split(".")[:3] == adapter
            if ".".join(path[:2]) in ADAPTERS and not inside:
                complaints.append(f"{source.place}:{line}: imports {'.'.join(path)}; reach it through umbel.plug")
    return complaints


def third_party_homes(root: Path) -> list[str]:
    """Third-party packages that more than one place of the package imports; a place is a module or folder of umbel."""
    homes: dict[str, set[str]] = defaultdict(set)
    for source in sources(root, "umbel"):
        for _, module, _ in imported(source):
            top = module.partition(".")[0]
            if top != "umbel" and top not in sys.stdlib_module_names:
                homes[top].add(source.place.split("/")[1])
    return [
        f"{package} is imported in {', '.join(sorted(places))}; one place may, the others go through it"
        for package, places in sorted(homes.items())
        if len(places) > 1
    ]


def eager_imports(root: Path) -> list[str]:
    """Costly and third-party modules that a program loads which imports umbel to send tasks."""
    there = [module for module in PROMPT if (root / module.replace(".", "/")).with_suffix(".py").is_file()]
    there += [module for module in PROMPT if (root / module.replace(".", "/") / "__init__.py").is_file()]
    lines = [f"import {module}" for module in there]
    lines += ["from umbel import Umbel"] if "umbel.app" in there else []
    program = "; ".join(["import sys; before = set(sys.modules)", *lines, "print(*set(sys.modules) - before)"])
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return [f"{'; '.join(lines)}: {done.stderr}"]
    allowed = sys.stdlib_module_names | {"umbel"}
    loaded = done.stdout.split()
    return [
        f"{'; '.join(lines)}: loads {module}; import it in the function that needs it"
        for module in sorted(loaded)
        if module in LATE or module.partition(".")[0] not in allowed
    ]


def floors(root: Path) -> list[str]:
    """What import-linter says against the contracts of the checkout's pyproject.toml."""
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(linter, cwd=root, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]
