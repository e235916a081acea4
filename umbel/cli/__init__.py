"""The command line: ``run`` is what ``umbel`` and ``python -m umbel`` are, ``main`` one command of it.

Exit status: 0 when all went well; 1 for an error, for a task that failed and for a result that is not known; 2 for a
command that is not understood; 3 for a task that has not ended within the time that ``--wait`` gives; 130 after ctrl-C;
141 when the reader of the output went away. ``umbel worker`` gives the worker's own: 0 after a warm end, 1 after a cold
one.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in typing, whose import would take longer than a quick ctrl-C

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

INTERRUPTED = 130
READER_GONE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; ``arguments`` are those after the program's name, by default the process's own.

    Gives the exit status. Errors are written to standard error.
    """
    try:
        from umbel.cli.program import start  # imported here so that ctrl-C while it loads is caught too

        status = start(sys.argv[1:] if arguments is None else arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        exec("")  # where a text was interrupted that Python executed, 3.11 would end by the signal without this
        return INTERRUPTED
    except BrokenPipeError as error:
        if _reader_gone():
            return READER_GONE
        from umbel.cli.failures import explain

        return explain(error)


def run() -> NoReturn:
    """Be the program: ``main``, then the end of the process; a ctrl-C from then on ends it at once."""
    status = main()
    import signal

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status)


def _reader_gone() -> bool:
    """Whether nobody reads our output any more; then the rest of it goes nowhere, the interpreter's last flush too."""
    deaf = [number for number in (1, 2) if _is_deaf(number)]
    for number in deaf:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    return bool(deaf)


def _is_deaf(number: int) -> bool:
    """Whether the pipe or socket behind a file descriptor has lost its reader."""
    import select

    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(number, 0)  # errors are reported without being asked for
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
