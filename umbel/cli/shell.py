"""``umbel shell``: a Python prompt with the app and its tasks at hand."""

from __future__ import annotations

import ast
import code
import contextlib
import importlib
import importlib.util
import linecache
import platform
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from umbel._version import __version__
from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Command, option

if TYPE_CHECKING:
    from umbel.lookup import Found

PROMPTS = ("ipython", "bpython", "python")


@click.command(
    cls=Command,
    section="Run",
    short_help="Open a Python prompt with the app's tasks.",
    examples=(
        "umbel shell",
        "umbel -A shop.jobs shell -c 'add.delay(4, 4).get()'",
        "umbel shell < script.py",
    ),
)
@option("-c", "--command", metavar="CODE", help="Run this, show the values of its expressions, and end.")
@option(
    "--prompt",
    type=click.Choice(PROMPTS),
    help="Which one; by default the first of these that is installed.",
)
@app_options
@click.pass_obj
def shell(choice: Choice, /, *, command: str | None, prompt: str | None) -> None:
    """Open a Python prompt. In scope: app, its tasks by their short names, and what umbel exports.

    Of tasks whose short names are the same none is in scope: app.tasks['whole.name'] has them all. Nothing is
    connected to before a line of yours does. Without a terminal, standard input is run as a script.
    """
    found = choice.load()
    names = scope(found)
    if command is not None:
        run_line(command, names)
    elif prompt is None and not sys.stdin.isatty():
        run_script(sys.stdin.read(), names)
    else:
        open_prompt(prompt, names, greeting(found, names))


def scope(found: Found) -> dict[str, Any]:
    """Name → what it stands for at the prompt; the app wins over a task of that name, a task over umbel's names."""
    tasks = found.app.tasks
    counts = Counter(short_name(name) for name in tasks)
    own = {short_name(name): task for name, task in tasks.items() if counts[short_name(name)] == 1}
    umbel = sys.modules["umbel"]
    exported = {name: getattr(umbel, name) for name in umbel.__all__ if not name.startswith("_")}
    return {"__name__": "__console__", **exported, "umbel": umbel, **own, "app": found.app}


def short_name(name: str) -> str:
    """The part after the last dot."""
    return name.rpartition(".")[2]


def greeting(found: Found, names: dict[str, Any]) -> str:
    """What a prompt says first."""
    tasks = sorted(short_name(name) for name, task in found.app.tasks.items() if names.get(short_name(name)) is task)
    listed = ", ".join(tasks) if tasks else "none"
    return (
        f"umbel {__version__}, Python {platform.python_version()}\n"
        f"app: {found.module}:{found.attribute}\ntasks: {listed}\n"
        "Try: some_task.delay(…).get(timeout=10)"
    )


def run_line(text: str, names: dict[str, Any]) -> None:
    """Run statements; the values of expressions are printed, as at a prompt. Raises what they raise."""
    _run(text, "-c", names, interactive=True)


def run_script(text: str, names: dict[str, Any]) -> None:
    """Run statements. Raises what they raise."""
    _run(text, "standard input", names, interactive=False)


def _run(text: str, file: str, names: dict[str, Any], *, interactive: bool) -> None:
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # for the lines of a traceback
    body = ast.parse(text, file).body
    tree: ast.Interactive | ast.Module = ast.Interactive(body) if interactive else ast.Module(body, [])
    exec(compile(tree, file, "single" if interactive else "exec"), names)


def open_prompt(prompt: str | None, names: dict[str, Any], told: str) -> None:
    """Have a conversation. Raises ``click.ClickException`` when the prompt that is asked for is not installed."""
    modules = {"ipython": "IPython", "bpython": "bpython"}
    installed = [name for name in modules if importlib.util.find_spec(modules[name])]
    chosen = prompt or next(iter(installed), "python")
    if chosen in modules and chosen not in installed:
        raise click.ClickException(f"{chosen} is not installed: pip install {chosen}, or leave --prompt out")
    if chosen == "ipython":
        click.echo(told)
        importlib.import_module("IPython").start_ipython(argv=["--no-banner"], user_ns=names)
    elif chosen == "bpython":
        importlib.import_module("bpython").embed(locals_=names, banner=told)
    else:
        _converse(names, told)


def _converse(names: dict[str, Any], told: str) -> None:
    """Python's own prompt, with names completed at the tab key where readline is there."""
    with contextlib.suppress(ImportError):
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner=told, local=names, exitmsg="")
