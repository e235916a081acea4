"""Tells Sphinx how the pages of this folder, the README and the docstrings become a site."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pygments.lexers.special import TextLexer

from umbel import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "umbel"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]

# The whole checkout is the source, so that the links between README and docs lead somewhere on the site too.
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "bench/README.md"]
myst_heading_anchors = 4
nitpicky = True
# What a signature mentions and no page describes: type variables, and what is not public.
nitpick_ignore_regex = [(r"py:.*", r".*")]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"umbel {version}"
html_copy_source = False
html_show_copyright = False

_SECTION = re.compile(r"^## (.+)\n((?:.|\n(?!## ))*)", re.MULTILINE)
_LINK = re.compile(r"\]\(([\w./-]+)\.md(?:#[\w-]*)?\)")


def add_contents(app: Sphinx, name: str, source: list[str]) -> None:
    """Give an index a table of contents for the margin: what it links to, section by section."""
    if not name.endswith("/index"):
        return
    for heading, body in _SECTION.findall(source[0]) or [("", source[0])]:
        caption = [f":caption: {heading}"] if heading else []
        pages = dict.fromkeys(_LINK.findall(body))
        fence = "\n".join(["```{toctree}", ":hidden:", *caption, "", *pages, "```"])
        source[0] += f"\n{fence}\n"


def add_front_door(app: Sphinx, error: Exception | None) -> None:
    """Lead whoever opens the folder of the site to its first page."""
    if error is None and app.builder.format == "html":
        page = '<!doctype html><meta charset="utf-8"><title>umbel</title>'
        page += '<meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">umbel</a>\n'
        (Path(app.outdir) / "index.html").write_text(page)


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", add_contents)
    app.connect("build-finished", add_front_door)
    return {"parallel_read_safe": True}
