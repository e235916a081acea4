"""``umbel completion``: prints the scripts that have bash, zsh and fish complete commands, and answers them."""

from __future__ import annotations

from collections.abc import Mapping

import click
from click.shell_completion import get_completion_class, shell_complete

from umbel.cli.choice import Choice, app_options
from umbel.cli.grammar import Command

PROGRAM = "umbel"
VARIABLE = "_UMBEL_COMPLETE"
"""The environment variable by which a shell's script asks; click's convention."""

INSTALL = {
    "bash": 'put this into ~/.bashrc:  eval "$(umbel completion bash)"',
    "zsh": 'put this into ~/.zshrc, after compinit:  eval "$(umbel completion zsh)"',
    "fish": "umbel completion fish > ~/.config/fish/completions/umbel.fish",
}


@click.command(
    cls=Command,
    section="Look",
    short_help="Print a script that completes commands.",
    examples=('eval "$(umbel completion bash)"', "umbel completion fish > ~/.config/fish/completions/umbel.fish"),
)
@click.argument("shell", type=click.Choice(list(INSTALL)))
@app_options
@click.pass_obj
def completion(choice: Choice, /, *, shell: str) -> None:
    """Print the script that has SHELL complete umbel's commands, flags, tasks, queues and settings.

    For the names of tasks and queues the app is imported, if that takes no longer than a moment.
    """
    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(click.Command(PROGRAM), {}, PROGRAM, VARIABLE).source().rstrip())
    click.echo(f"\n# To install: {INSTALL[shell]}")


def answer(program: click.Command, environ: Mapping[str, str]) -> int | None:
    """Answer a shell that asks for completions, and give the exit status; None when none does."""
    instruction = environ.get(VARIABLE)
    if not instruction:
        return None
    return shell_complete(program, {"obj": Choice()}, PROGRAM, VARIABLE, instruction)
