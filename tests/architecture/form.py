"""Rules on how a file looks: its size, its name, its first sentence, its words."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import CODE, Source, sources, tracked

FILE_LINES = 400
FUNCTION_LINES = 60
FORBIDDEN_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "base", "misc", "manager", "managers"})
OTHER_SYSTEM = "celery"
MAY_SPELL_IT = ("umbel/wire/", "umbel/celery/", "umbel/lookup.py")

STRAYS = {
    "a path of somebody's machine": re.compile(r"(?<![\w.\])}])/(?:work|farm|root|home|Users)/\w"),
    "a path outside the checkout": re.compile(r"\.\./shared\b|\bshared/(?:design|reference|hooks)\b"),
    "the host of a package registry": re.compile(
        r"pypi[.](?:org|python)|pythonhosted[.]org|npmjs[.](?:org|com)|(?:deb|security)[.]debian[.]org|crates[.]io"
    ),
}

SENTENCE_END = re.compile(r"[.!?](?=\s+[A-Z`])")


def sizes(root: Path) -> list[str]:
    """Files of more than 400 lines and functions of more than 60."""
    complaints = []
    for source in sources(root, *CODE):
        lines = len(source.text.splitlines())
        if lines > FILE_LINES:
            complaints.append(f"{source.place}: {lines} lines, at most {FILE_LINES}: split it by duty")
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    place = f"{source.place}:{node.lineno}"
                    complaints.append(f"{place}: {node.name} has {lines} lines, at most {FUNCTION_LINES}")
    return complaints


def first_sentences(root: Path) -> list[str]:
    """Modules whose docstring does not open with a paragraph of exactly one sentence; an empty file needs none."""
    complaints = []
    for source in sources(root, *CODE):
        if not source.text.strip():
            continue
        docstring = ast.get_docstring(source.tree)
        if docstring is None:
            complaints.append(f"{source.place}: no docstring; one sentence says what the file does")
            continue
        opening = " ".join(docstring.split("\n\n")[0].split())
        if not opening.endswith(".") or SENTENCE_END.search(opening):
            complaints.append(f"{source.place}: its docstring does not open with one sentence: {opening!r}")
    return complaints


def names(root: Path) -> list[str]:
    """Modules and folders called by what they are not about."""
    complaints = []
    for source in sources(root, *CODE):
        for part in source.place.removesuffix(".py").split("/"):
            vague = sorted(FORBIDDEN_NAMES.intersection(part.lower().split("_")))
            complaints += [f"{source.place}: {word!r} says nothing; name the thing that it holds" for word in vague]
    return complaints


def spelling(root: Path) -> list[str]:
    """Identifiers and string literals that spell the other system's name outside the rooms where its quirks live."""
    complaints = []
    for source in sources(root, "umbel"):
        if source.place.startswith(MAY_SPELL_IT):
            continue
        if OTHER_SYSTEM in source.module.lower():
            complaints.append(f"{source.place}: the name of the module spells {OTHER_SYSTEM!r}")
        for line, word in words(source):
            if OTHER_SYSTEM in word.lower():
                complaints.append(f"{source.place}:{line}: {word!r} spells {OTHER_SYSTEM!r}; that belongs in wire/")
    return complaints


def words(source: Source) -> Iterator[tuple[int, str]]:
    """Every identifier and string literal with its line, strings that stand alone (docstrings) left out."""
    alone = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(source.tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str | bytes) and id(node) not in alone:
                yield line, node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            continue
        for _, value in ast.iter_fields(node):
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, str):
                    yield line, item


def strays(root: Path) -> list[str]:
    """Tracked text that names a machine's path, a place outside the checkout or a registry's host."""
    complaints = []
    for path in tracked(root):
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, start=1):
            for what, pattern in STRAYS.items():
                if found := pattern.search(line):
                    complaints.append(f"{path.relative_to(root)}:{number}: {what}: {found.group()!r}")
    return complaints
