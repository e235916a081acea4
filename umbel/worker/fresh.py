"""The start of a runner that was not forked: it imports the app itself."""

from __future__ import annotations

import json
import socket
import sys

from umbel import log
from umbel.worker.board import Board
from umbel.worker.origin import Origin
from umbel.worker.runner import RunnerSetup, ignore_shutdown_signals, live


def main(told: str) -> None:
    """``told`` is the node's JSON; raises what importing the app raises."""
    setup = json.loads(told)
    ignore_shutdown_signals()
    sys.path[:] = setup["path"]
    app = Origin(*setup["origin"]).load()
    app.import_modules()
    if setup["log"]:
        log.setup(**setup["log"])
    sock, board = setup["fds"]
    live(app, socket.socket(fileno=sock), Board(board), RunnerSetup(*setup["setup"]))


if __name__ == "__main__":
    main(sys.argv[1])
