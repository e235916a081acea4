"""``umbel dead``: shows the messages that could not be done, sends them again, and forgets them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from umbel.cli import completing
from umbel.cli.choice import Choice, app_options
from umbel.cli.failures import FAILED
from umbel.cli.grammar import Group, option
from umbel.cli.purge import confirmed
from umbel.cli.tables import aligned, show_table
from umbel.cli.values import SecondsOrMoment, Whole, shown

if TYPE_CHECKING:
    from umbel.dead import DeadLetterOffice, DeadMessage, DeadTask

F = TypeVar("F", bound=Callable[..., Any])

_LINE = 32
"""Bytes in a line of hexadecimal digits."""


@click.group(
    cls=Group,
    section="Look",
    short_help="Show, replay and purge messages that could not be done.",
    no_args_is_help=False,
    examples=("umbel dead list", "umbel dead show 7", "umbel dead replay --task 'shop.*'", "umbel dead purge 7 8"),
)
def dead() -> None:
    """Show, replay and purge dead letters: messages that could not be done."""


def filters(command: F) -> F:
    """Add the options that say which dead letters are meant."""
    section = "Which ones (all must fit)"
    for name, extra, text in (
        (
            "--newer-than",
            {"type": SecondsOrMoment()},
            "Those that died in the last so many seconds, or after that time.",
        ),
        (
            "--older-than",
            {"type": SecondsOrMoment()},
            "Those that died at least so many seconds ago, or until that time.",
        ),
        ("--queue", {"metavar": "NAME", "shell_complete": completing.queues}, "Those from this queue."),
        ("--reason", {"metavar": "TEXT"}, "Those whose reason has this in it."),
        (
            "--task",
            {"metavar": "NAME", "shell_complete": completing.tasks},
            "Those of this task, or of all that a pattern such as 'shop.*' fits.",
        ),
    ):
        command = option(name, section=section, help=text, **extra)(command)
    return command


@dead.command(name="list", examples=("umbel dead list", "umbel dead list --reason NotRegistered --newer-than 3600"))
@filters
@option("--limit", type=Whole(1), metavar="N", default=100, show_default=True, help="At most so many, the oldest.")
@option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@app_options
@click.pass_obj
def listing(choice: Choice, /, *, limit: int, as_json: bool, **which: Any) -> None:
    """List dead letters, the oldest first."""
    found = choice.find().app.dead.list(limit=limit, **which)
    if as_json:
        for letter in found:
            click.echo(json.dumps(_described(letter), ensure_ascii=False))
    elif not found:
        click.echo("There are no such dead letters." if any(which.values()) else "There are no dead letters.")
    else:
        rows = [
            (
                str(letter.number),
                letter.died.isoformat(sep=" ", timespec="seconds"),
                _harmless(letter.task or "?"),
                _harmless(letter.queue),
                _harmless(letter.reason),
            )
            for letter in found
        ]
        show_table(("number", "died", "task", "queue", "reason"), rows)


@dead.command(
    short_help="Show a dead letter whole.", examples=("umbel dead show 7", "umbel dead show 7 --json | jq .headers")
)
@click.argument("number", type=int)
@option("--json", "as_json", is_flag=True, help="One JSON object.")
@app_options
@click.pass_obj
def show(choice: Choice, /, *, number: int, as_json: bool) -> None:
    """Show a dead letter whole: why and when it died, its headers, and its body as text or hexadecimal.

    The body is shown as it travelled; nothing in it is decoded.
    """
    letter = choice.find().app.dead.show(number)
    if as_json:
        click.echo(json.dumps(_whole(letter), ensure_ascii=False, default=shown))
        return
    facts = [(name, _harmless(shown(value))) for name, value in _described(letter).items() if value is not None]
    if letter.unreadable is None:
        facts.append(("content", f"{letter.content_type}, {letter.content_encoding}"))
    else:
        facts.append(("unreadable", _harmless(letter.unreadable)))
    click.echo(aligned(facts))
    for title, table in (("headers", letter.headers), ("properties", letter.properties)):
        if table:
            rows = [(_harmless(name), _harmless(shown(value))) for name, value in table.items()]
            click.echo(f"\n{title}:\n{aligned(rows, indent='  ')}")
    if letter.unreadable is not None:
        click.echo(f"\nhead:\n{_text(letter.head)}")
    click.echo(f"\nbody:\n{_text(letter.body)}")


@dead.command(
    short_help="Send dead letters again.",
    examples=("umbel dead replay 7 8", "umbel dead replay --task shop.mail --newer-than 86400 --force"),
)
@click.argument("numbers", nargs=-1, type=int, metavar="[NUMBER]...")
@filters
@option("-f", "--force", is_flag=True, help="Do not ask.")
@app_options
@click.pass_obj
def replay(choice: Choice, /, *, numbers: tuple[int, ...], force: bool, **which: Any) -> int:
    """Send dead letters again: those of these numbers, all by default, that fit the options.

    Each goes to its queue, and begins a new life of its task: what is known of the last one stays until the new one
    has something to say. The exit status is 1 when the question is answered with no, and when one is not there.
    """
    office = choice.find().app.dead
    chosen = _chosen(office, numbers, which, "Replay {}?", "replayed", force)
    if chosen is None:
        return FAILED
    return _tell("Replayed", office.replay(chosen, **which) if chosen != () else 0, numbers)


@dead.command(
    short_help="Forget dead letters for good.", examples=("umbel dead purge 7", "umbel dead purge --older-than 604800")
)
@click.argument("numbers", nargs=-1, type=int, metavar="[NUMBER]...")
@filters
@option("-f", "--force", is_flag=True, help="Do not ask.")
@app_options
@click.pass_obj
def purge(choice: Choice, /, *, numbers: tuple[int, ...], force: bool, **which: Any) -> int:
    """Forget dead letters for good: those of these numbers, all by default, that fit the options.

    The exit status is 1 when the question is answered with no, and when one is not there.
    """
    office = choice.find().app.dead
    chosen = _chosen(office, numbers, which, "Forget {}, for good?", "dropped", force)
    if chosen is None:
        return FAILED
    return _tell("Dropped", office.purge(chosen, **which) if chosen != () else 0, numbers)


def _chosen(
    office: DeadLetterOffice,
    numbers: Sequence[int],
    which: Mapping[str, Any],
    question: str,
    done: str,
    force: bool,
) -> Sequence[int] | None:
    """The numbers to act on, exactly those that were asked about; None: leave it."""
    if force and numbers:
        return numbers
    named = set(numbers)
    found = [letter.number for letter in office.list(limit=None, **which) if not named or letter.number in named]
    if found and not force and not confirmed(question.format(_letters(len(found))), done):
        click.echo(f"Nothing was {done}.", err=True)
        return None
    return tuple(found)


def _tell(done: str, count: int, numbers: Sequence[int]) -> int:
    click.echo(f"{done} {_letters(count)}." if count or numbers else "There are no such dead letters.")
    missing = len(set(numbers)) - count
    if missing > 0:
        click.echo(f"umbel: {missing} of those named are not there, or do not fit the options", err=True)
        return FAILED
    return 0


def _letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"


def _described(letter: DeadTask) -> dict[str, Any]:
    return {
        "number": letter.number,
        "task": letter.task,
        "id": letter.id,
        "queue": letter.queue,
        "priority": letter.priority,
        "life": letter.life,
        "died": letter.died.isoformat(),
        "reason": letter.reason,
        "size": letter.size,
    }


def _whole(letter: DeadMessage) -> dict[str, Any]:
    whole = _described(letter) | {
        "content_type": letter.content_type,
        "content_encoding": letter.content_encoding,
        "headers": letter.headers,
        "properties": letter.properties,
        "unreadable": letter.unreadable,
    }
    text = _readable(letter.body)
    whole |= {"body_hex": letter.body.hex()} if text is None else {"body": text}
    return whole if letter.unreadable is None else {**whole, "head_hex": letter.head.hex()}


def _readable(data: bytes) -> str | None:
    """The text that the bytes are, None when they are none that a terminal could show."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if _harmless(text) == text else None


def _text(data: bytes) -> str:
    text = _readable(data)
    return "\n".join(_hexadecimal(data)) if text is None else text


def _hexadecimal(data: bytes) -> Iterator[str]:
    for at in range(0, len(data), _LINE):
        yield f"{at:08x}  {data[at : at + _LINE].hex(' ')}"


def _harmless(text: str) -> str:
    """The text without what would move a terminal's cursor or change its colours: who sent a message is unknown."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else f"\\x{ord(each):02x}" for each in text)
