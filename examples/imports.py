"""Counts what Python's standard library imports: a whole program with umbel, to be run and to be read.

    make demo

It has the three parts of every program that uses umbel: an app, a task and a caller. Nothing is configured and no
server runs: messages and results are kept in an SQLite file. One thing is different in a project of yours: there you
start the worker in a terminal of its own, and it stays.

    umbel -A examples.imports worker

Here a worker is started for this program's short life; see ``examples/stage.py``.
"""

from __future__ import annotations

import ast
import sysconfig
import time
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from examples import show
from examples.stage import stage
from umbel import Umbel

# The app. It is called as this module, so that its tasks have the same names here, where the file is run as a program,
# and in the worker, which imports it.
app = Umbel("examples.imports")


# The task: a function with a decorator. The worker runs it, in a process of its own. What goes in and what comes out
# travel as JSON: texts, numbers, lists, dictionaries.
@app.task
def count_imports(path: str) -> dict[str, int]:
    """How often the Python file at ``path`` imports each top-level module."""
    with tokenize.open(path) as file:  # in the encoding that the file declares
        tree = ast.parse(file.read(), path)
    # A file that is missing or no Python raises an exception here, and the task has failed. The worker goes on with
    # the next one; the exception is kept for the caller.
    return Counter(module.partition(".")[0] for module in imported_modules(tree))


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """The modules that the import statements name; ``from . import x`` names none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


# The caller: sends a call for every file and gathers the results.
def survey(paths: list[str]) -> None:
    """Have all the files counted, show how it goes and what came of it."""
    began = time.monotonic()

    # ``count_imports.delay(path)`` sends one call; this sends many in one write: all of them, or none. Once it
    # returns they are on disk, and will be run even if this program ends or the worker is killed.
    results = count_imports.delay_many([(path,) for path in paths])

    imports: Counter[str] = Counter()
    failures: list[tuple[str, Exception]] = []
    with show.progress("Reading the standard library", len(paths)) as advance:
        for path, result in zip(paths, results, strict=True):
            # The worker is at it already. ``ready`` asks whether this task has ended; ``get`` would wait until it has.
            while not result.ready():
                time.sleep(0.01)
            if result.failed():  # ``result.get()`` would raise the exception that ``result.result`` is
                failures.append((path, result.result))
            else:
                imports.update(result.get())
            advance()

    show.most_imported(imports.most_common(10))
    show.failed(failures)
    show.summary(done=len(paths) - len(failures), failed=len(failures), seconds=time.monotonic() - began)


def standard_library() -> list[str]:
    """Every Python file of the installed standard library; some of its test data is broken on purpose."""
    root = Path(sysconfig.get_path("stdlib"))
    not_part_of_it = {"site-packages", "dist-packages"}
    return sorted(str(path) for path in root.rglob("*.py") if not_part_of_it.isdisjoint(path.parts))


def troublemakers(folder: Path) -> list[str]:
    """Three files that cannot be read, each for a reason of its own: something fails for certain."""
    (folder / "unfinished.py").write_text("import os\n\nprint(os.name\n")
    (folder / "ancient.py").write_bytes(b"import os\n\n\nname = 'caf\xe9'\n")
    return [str(folder / name) for name in ("unfinished.py", "ancient.py", "missing.py")]


def main() -> int:
    """Run the demo. Ctrl-C ends it at any time and leaves nothing behind."""
    try:
        with stage("examples.imports") as folder:
            survey([*standard_library(), *troublemakers(folder)])
    except KeyboardInterrupt:
        print("Stopped: the worker has ended, and its files are gone.")
        return 130
    return 0
