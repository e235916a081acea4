"""Runs short programs that show how progress is written, as they are written elsewhere."""

from __future__ import annotations

import ast
import inspect
import json
import re
from typing import Any

import pytest
from fastapi import FastAPI

from umbel import progress
from umbel.app import Umbel
from umbel.testing import working

WATCH = """
async for snap in result.watch(): print(snap.percent, snap.message)
"""

PROGRESS = """
from umbel import progress, track
@app.task
def resize(paths: list[str]) -> int:
    for path in track(paths, unit="images"):
        shrink(path)
    return progress.finish(f"{len(paths)} images", value=len(paths))
"""

FASTAPI = """
from umbel.contrib.fastapi import Progress
tasks = Progress(app, secret=SECRET)                       # or authorize=callable; refuses to be made without either
tasks.expose("report", make_report, show_result=True)
api.include_router(tasks.router, prefix="/umbel")
ticket = tasks.ticket(result, can=("cancel",), ttl=3600)   # in a view, for a task that it started itself
# page: <script type="module" src="/umbel/umbel-progress.js"></script> <umbel-progress task="{{ ticket }}" base="/umbel/">
"""  # noqa: E501


async def run(text: str, names: dict[str, Any]) -> None:
    """Run a program that may await."""
    code = compile(text, "<snippet>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(code, names)
    if inspect.isawaitable(value):
        await value


async def asked(api: Any, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of what an ASGI application answers."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"host", b"shop.example")]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
    await api({**scope, "headers": headers, "root_path": "", "scheme": "http"}, receive, send)
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


async def test_a_task_says_how_far_it_is_and_its_caller_watches(capsys: pytest.CaptureFixture[str]) -> None:
    shrunk: list[str] = []
    names: dict[str, Any] = {"app": Umbel("images", broker="memory://", set_as_current=False), "shrink": shrunk.append}
    await run(PROGRESS, names)
    with working(names["app"]):
        names["result"] = await names["resize"].adelay(["a.png", "b.png"])
        await run(WATCH, names)
        assert await names["result"] == 2
    assert shrunk == ["a.png", "b.png"]
    assert capsys.readouterr().out.splitlines()[-1] == "100.0 2 images"


async def test_a_fastapi_application_follows_a_task() -> None:
    app = Umbel("site", broker="memory://", set_as_current=False)

    @app.task
    def make_report(pages: int) -> int:
        return progress.finish("ready", value=pages)

    with working(app):
        names: dict[str, Any] = {
            "app": app,
            "api": FastAPI(),
            "SECRET": "a secret that nobody can guess",
            "make_report": make_report,
            "result": await make_report.adelay(3),
        }
        await run(FASTAPI, names)
        assert re.fullmatch(r"tk_[\w-]+\.[\w-]+", names["ticket"])
        assert await names["result"] == 3
        (script,) = re.findall(r'src="([^"]+)"', FASTAPI)
        (base,) = re.findall(r'base="([^"]+)"', FASTAPI)
        assert b"umbel-progress" in (await asked(names["api"], "GET", script))[1]
        seen = json.loads((await asked(names["api"], "GET", f"{base}tasks/{names['ticket']}"))[1])
        assert (seen["state"], seen["message"], seen["result"]) == ("SUCCESS", "ready", 3)
        status, body = await asked(names["api"], "POST", f"{base}tasks/report", b'{"pages": 5}')
        assert status == 202
        assert json.loads(body)["key"].startswith("tk_")
