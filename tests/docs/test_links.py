"""Follows the links between the pages, and the names of files that they mention."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.pages import links, prose, quoted, tables

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
FILE = re.compile(r"(?:umbel|tests|tools|docs|examples|bench|requirements)/[\w./-]+\.(?:py|sql|md|toml|txt|in)")


def anchors(page: Path) -> set[str]:
    """What its headings are called in a link."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def defined(path: Path) -> set[str]:
    """The classes, functions and names that a module defines, with the class in front of its members."""
    found: set[str] = set()
    pending: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text()))]
    while pending:
        prefix, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(f"{prefix}{child.name}")
                if isinstance(child, ast.ClassDef):
                    pending.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, ast.Assign | ast.AnnAssign):
                targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                found |= {f"{prefix}{each.id}" for each in targets if isinstance(each, ast.Name)}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    lost = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page if not path else (page.parent / path)
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = {found for text in quoted(prose(page)) for found in FILE.findall(text)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_table_says_of_a_module_is_defined_there(page: Path) -> None:
    """A row that begins with a module of the package names in its second cell what that module defines."""
    missing = []
    for head, *rows in tables(prose(page)):
        if head[0] != "file":
            continue
        for row in rows:
            (module,) = quoted(row[0])
            names = defined(ROOT / module)
            missing += [f"{module}: {name}" for name in quoted(row[1]) if name not in names]
    assert missing == []


def test_every_page_is_reached_from_the_index(root: Path) -> None:
    docs = root / "docs"
    reached = {(docs / link.partition("#")[0]).resolve() for link in links(docs / "index.md") if "://" not in link}
    assert sorted(set(docs.glob("*.md")) - reached - {docs / "index.md"}) == []
    assert docs / "decisions" / "index.md" in reached
