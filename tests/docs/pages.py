"""Reads code blocks, tables, sections and links out of Markdown pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_OPENING = re.compile(r"(?:```|<!-- )(sh|python|pycon|[a-z]+|\{[a-z-]+\})?\s*")
_FILE_NAME = re.compile(r"# (\S+\.\w+)")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_QUOTED = re.compile(r"`([^`]+)`")


class Block(NamedTuple):
    """Some code of a page; one that stands in a comment, ``<!-- sh`` … ``-->``, is hidden from readers.

    ``place`` is the page and the line on which it opens.
    """

    language: str
    text: str
    place: str

    @property
    def file(self) -> str | None:
        """The file that this is, when its first line is a comment that names one."""
        named = _FILE_NAME.fullmatch(self.text.partition("\n")[0])
        return named[1] if named else None


def blocks(page: Path) -> list[Block]:
    """The page's blocks of code, in order."""
    found: list[Block] = []
    inside: list[str] | None = None
    opening: tuple[str, int, str] = ("", 0, "")
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if inside is not None:
            if line == opening[2]:
                language, start, _ = opening
                found.append(Block(language, "".join(inside), f"{page.name}:{start}"))
                inside = None
            else:
                inside.append(f"{line}\n")
        elif opened := _OPENING.fullmatch(line):
            inside, opening = [], (opened[1] or "", number, "```" if line.startswith("`") else "-->")
    assert inside is None, f"{page.name}:{opening[1]}: the block is never closed"
    return found


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^(```|<!-- \w+$).*?^(```|-->)$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def tables(text: str) -> Iterator[list[list[str]]]:
    """The tables in ``text``, each as rows of cells with the heading first; bars inside a cell are written ``\\|``."""
    rows: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                rows.append(cells)
        elif rows:
            yield rows
            rows = []


def sections(text: str) -> dict[str, str]:
    """Heading of the second level → the text below it."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def quoted(text: str) -> list[str]:
    """What stands between backquotes."""
    return _QUOTED.findall(text)


def links(page: Path) -> list[str]:
    """The targets of the page's links."""
    return _LINK.findall(prose(page))
