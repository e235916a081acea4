"""Tests of the page that a node and a runner share."""

import os
import signal

from umbel.worker.board import Board


def test_a_started_delivery_is_seen_by_the_node() -> None:
    board = Board.make()
    assert board.start(1)
    assert (board.started, board.running) == (1, [1])
    board.finish()
    assert (board.started, board.running) == (1, [])
    board.close()


def test_what_was_taken_back_cannot_be_started() -> None:
    board = Board.make()
    assert board.start(1)
    assert board.void(5) == 1
    assert not any(board.start(number) for number in range(2, 6))
    assert board.started == 1, "a refused start leaves no trace"
    assert board.start(6)
    board.close()


def test_a_killed_process_leaves_what_it_wrote() -> None:
    board = Board.make()
    pid = os.fork()
    if pid == 0:
        board.start(7)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert (board.started, board.running) == (7, [7])
    board.close()


def test_of_a_start_and_a_taking_back_at_once_one_side_notices() -> None:
    """The runner starts 1, 2, 3 … while the node takes back at random moments: no number is both started and taken."""
    board = Board.make()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        ran = bytearray()
        for number in range(1, 20_001):
            ran.append(board.start(number))
        with os.fdopen(write, "wb") as out:
            out.write(ran)
        os._exit(0)
    os.close(write)
    taken: set[int] = set()
    while board.started < 19_000:
        upto = board.started + 40
        started = board.void(upto)
        taken.update(range(started + 1, upto + 1))
    with os.fdopen(read, "rb") as end:
        ran = bytearray(end.read())
    os.waitpid(pid, 0)
    both = [number for number in taken if number <= len(ran) and ran[number - 1]]
    assert taken
    assert not both
    board.close()
