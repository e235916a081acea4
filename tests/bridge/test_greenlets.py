"""Web servers in which gevent has put greenlets in the place of threads."""

from __future__ import annotations

import re
import threading
from typing import Any

from tests.bridge.conftest import Program
from tests.bridge.test_forks import asker
from tools.ports import free_port


def test_a_gevent_server_goes_on_while_greenlets_wait_for_results(program: Program) -> None:
    """One request waits until another one, which comes later, lets its task go on."""
    port = free_port()
    program.write(
        "site_app.py",
        f"""
        from gevent import monkey
        monkey.patch_all()
        import json, threading
        from gevent.pywsgi import WSGIServer
        from shop import HERE, add, app, hold

        def answer(path):
            match path:
                case "/up":
                    return "up"
                case "/hold":
                    return hold.delay("gevent", "gevent-go").get(timeout=60)
                case "/go":
                    (HERE / "gevent-go").touch()
                    return "gone"
                case _:
                    results = [add.delay(n, n) for n in range(int(path[1:]))]
                    return sorted(each.get() for each in app.as_completed(results, timeout=60))

        def site(environ, start_response):
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(answer(environ["PATH_INFO"])).encode()]

        WSGIServer(("127.0.0.1", {port}), site, log=None).serve_forever()
        """,
    )
    program.start("-u", "site_app.py")
    ask = asker(port)
    assert ask("/3") == [0, 2, 4]
    held: list[Any] = []
    waiting = [threading.Thread(target=lambda: held.append(ask("/hold"))) for _ in range(2)]
    for each in waiting:
        each.start()
    assert ask("/go") == "gone"
    for each in waiting:
        each.join()
    assert held == ["gevent", "gevent"]
    assert ask("/5") == [0, 2, 4, 6, 8]
    assert not re.search("Traceback|Error", program.text()), program.text()
