"""Processes that fork after they have used umbel, and web servers that do."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.bridge.conftest import Program
from tests.worker.process import PATIENCE, Shop, children, wait_until
from tools.ports import free_port


def asker(port: int) -> Callable[[str], Any]:
    """Asks the server of that port, as soon as there is one."""
    # without the proxies of the environment
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str) -> Any:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def up() -> bool:
        try:
            ask("/up")
        except OSError:
            return False
        return True

    wait_until(up, f"a server on port {port}")
    return ask


def test_both_sides_of_a_fork_can_call(program: Program) -> None:
    lines = program.run("""
        import os
        from shop import add, app

        def call(who, x):
            value = add.delay(x, x).get(timeout=60)
            os.write(1, f"{who} {value}\\n".encode())  # in one piece: both sides write to one pipe

        call("before", 1)
        for generation in ("child", "grandchild"):
            child = os.fork()
            if child:
                call(f"parent of {generation}", 2)
                _, status = os.waitpid(child, 0)
                raise SystemExit(os.waitstatus_to_exitcode(status))
            call(generation, 3)
        app.close()
        call("closed", 4)
    """, "-W", "error")  # fmt: skip
    assert sorted(lines) == [
        "before 2",
        "child 6",
        "closed 8",
        "grandchild 6",
        "parent of child 4",
        "parent of grandchild 4",
    ]


def test_a_fork_while_others_wait_disturbs_neither_side(program: Program, shop: Shop) -> None:
    """The wait of the parent began before the fork, is ended after it, and its loop's sockets are the child's too."""
    lines = program.run("""
        import os, threading, time, pathlib
        from shop import add, app, hold, HERE

        held = hold.delay("fork", "let-go")
        waiting = threading.Thread(target=lambda: print("held", held.get(timeout=60), flush=True))
        waiting.start()
        while not app.backend.keeper.watcher._watches:
            time.sleep(0.01)
        children = []
        for n in range(3):
            child = os.fork()
            if not child:
                sent = add.delay(n, n)
                print("pending", sent.state, flush=True)
                raise SystemExit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
        (HERE / "let-go").touch()
        waiting.join()
    """, "-W", "error")  # fmt: skip
    assert lines == ["pending PENDING"] * 3 + ["held fork"]


def test_a_child_of_multiprocessing_can_call(program: Program) -> None:
    lines = program.run("""
        import multiprocessing
        from shop import add

        def call(x):
            return add.delay(x, x).get(timeout=60)

        if __name__ == "__main__":
            print(call(1))
            with multiprocessing.get_context("fork").Pool(2) as pool:
                print(pool.map(call, range(4)))
            print(call(2))
    """)
    assert lines == ["2", "[0, 2, 4, 6]", "4"]


def test_gunicorn_that_loads_the_app_before_it_forks(program: Program) -> None:
    program.write(
        "site_app.py",
        """
        import json, os
        from shop import add

        at_import = add.delay(1, 1).get(timeout=60)

        def site(environ, start_response):
            if environ["PATH_INFO"] == "/up":
                answer = "up"
            else:
                x = int(environ["PATH_INFO"][1:])
                answer = [os.getpid(), os.getppid(), at_import + add.delay(x, x).get(timeout=60)]
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(answer).encode()]
        """,
    )
    port = free_port()
    words = ("--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}", "--no-control-socket", "site_app:site")
    server = program.start("-m", "gunicorn", *words)
    ask = asker(port)
    wait_until(lambda: len(children(server.pid)) == 2)
    pids: set[int] = set()

    def both_answered() -> bool:
        pid, parent, answer = ask("/20")
        assert (parent, answer) == (server.pid, 42)
        pids.add(pid)
        return len(pids) == 2

    wait_until(both_answered)
    server.terminate()
    assert server.wait(PATIENCE) == 0, program.text()
    assert not re.search("Traceback|Warning", program.text()), program.text()
