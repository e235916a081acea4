"""Writes the table of docs/settings.md from the declarations in umbel/settings/options.

    python3 tools/environment.py dev -- python -m tools.settings_page            print the page as it should be
    python3 tools/environment.py dev -- python -m tools.settings_page --write    write it

A test fails when the page is not as this would write it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from umbel.settings.option import Option
from umbel.settings.options import OPTIONS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
BEGIN = "<!-- The table is written by tools/settings_page.py. -->"
END = "<!-- Here it ends. -->"


def page(text: str) -> str:
    """``text``, a page with both marks, with the table of now between them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} has lost a mark: {BEGIN} or {END}")
    return f"{before}{begin}\n\n{table()}\n\n{end}{after}"


def table() -> str:
    """Every setting, in the order of the declarations."""
    rows = [(f"`{option.name}`", option.kind.expects, default(option), option.doc) for option in OPTIONS.values()]
    lines = [("setting", "takes", "default", "meaning"), ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def default(option: Option) -> str:
    """What holds when nobody says anything, with the unit of a number."""
    if option.default_text is not None:
        return option.default_text
    value = f"`{option.show(option.default)}`"
    numeric = isinstance(option.default, (int, float)) and not isinstance(option.default, bool)
    return f"{value} {option.unit}" if numeric and option.unit else value


def main(words: Sequence[str]) -> int:
    """Do what the module's docstring says."""
    if words not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    text = page(PAGE.read_text())
    if words:
        PAGE.write_text(text)
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
