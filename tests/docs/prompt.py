"""Stands in for somebody's Python prompt: runs what standard input tells it to, in one namespace.

Each line of standard input is JSON: a block's language, text and place. Each is answered by a line of JSON, what went
wrong as text, empty when nothing did. It is run by the Python of the reader, in the reader's folder, so it needs the
standard library only.
"""

from __future__ import annotations

import doctest
import io
import json
import os
import sys
import traceback
from typing import Any

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def session(text: str, names: dict[str, Any], place: str) -> str:
    """Run a session with its expected answers; gives what differs."""
    test = doctest.DocTestParser().get_doctest(text, {}, place, place, 0)
    test.globs = names
    told = io.StringIO()
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=told.write, clear_globs=False)
    return told.getvalue()


def program(text: str, names: dict[str, Any], place: str) -> str:
    """Run statements; gives the traceback of what they raise."""
    try:
        exec(compile(text, place, "exec"), names)
    except Exception:  # noqa: BLE001  whatever it is, the test that asked is told
        return traceback.format_exc()
    return ""


def main() -> None:
    """Answer until standard input ends. What the blocks print goes to standard error."""
    sys.path[0] = ""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    names: dict[str, Any] = {"__name__": "__main__"}
    for line in sys.stdin:
        language, text, place = json.loads(line)
        trouble = (session if language == "pycon" else program)(text, names, place)
        answers.write(f"{json.dumps(trouble)}\n")
        answers.flush()


if __name__ == "__main__":
    main()
