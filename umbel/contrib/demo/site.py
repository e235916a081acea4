"""The demo's web application."""

from __future__ import annotations

import pkgutil
import secrets

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from umbel.contrib.demo import tasks
from umbel.contrib.starlette import Progress

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

BUTTONS = ("report", "import_customers", "resize", "quiet", "flaky", "stubborn")

_KINDS = {"demo.js": "text/javascript; charset=utf-8", "demo.css": "text/css; charset=utf-8"}


def make_site(secret: str | None = None) -> Starlette:
    """The application; tickets of an earlier run are good where ``secret`` is the same."""
    progress = Progress(tasks.app, secret=secret or secrets.token_urlsafe(32))
    for name in BUTTONS:
        progress.expose(name, getattr(tasks, name), show_result=name == "report")
    routes = [
        Route("/", page),
        Route("/report", lambda request: PlainTextResponse("Twelve pages, and a good end.\n")),
        Route("/favicon.ico", lambda request: RedirectResponse("data:,")),
        *(Route(f"/{name}", _file) for name in _KINDS),
        Mount("/umbel", routes=progress.routes),
    ]
    return Starlette(routes=routes)


async def page(request: Request) -> Response:
    """The page with the buttons."""
    return Response(_read("index.html"), media_type="text/html", headers={"Content-Security-Policy": POLICY})


async def _file(request: Request) -> Response:
    name = request.url.path.rpartition("/")[2]
    return Response(_read(name), headers={"Content-Type": _KINDS[name], "Cache-Control": "no-cache"})


def _read(name: str) -> bytes:
    content = pkgutil.get_data(__package__, f"static/{name}")
    assert content is not None
    return content
