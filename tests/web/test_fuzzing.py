"""Sends the endpoints of each face what their description allows, and what it does not, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web.site import Site
from umbel.web import Desk

pytestmark = pytest.mark.slow

TASKS = '''
from typing import Any

from umbel import Umbel, UserError, progress, track

app = Umbel("fuzzed")
SECRET = "a long text that nobody can guess"


@app.task
def typed(number: int, share: float = 0.5, text: str = "", yes: bool = False) -> str:
    """Takes a value of each kind."""
    for _ in track(range(3), unit=text, message=text):
        pass
    return progress.finish(text, value=f"{number} {share} {text} {yes}", links=[(text, text)])


@app.task
def anything(*values: Any, **named: Any) -> Any:
    return [values, named]


@app.task
def failing(text: str) -> None:
    raise UserError(text)


def guarded(tasks: Any) -> Any:
    for task in (typed, anything, failing):
        tasks.expose(task.__name__, task, show_result=True)
    return tasks
'''

STARLETTE = """
from starlette.applications import Starlette
from starlette.routing import Mount

from fuzzed import SECRET, app, guarded
from umbel.contrib.starlette import Progress

tasks = guarded(Progress(app, secret=SECRET))
site = Starlette(routes=[Mount("/umbel", routes=tasks.routes)])
"""

FLASK = """
from flask import Flask

from fuzzed import SECRET, app, guarded
from umbel.contrib.flask import Progress

tasks = guarded(Progress(app, secret=SECRET))
site = Flask(__name__)
site.register_blueprint(tasks.blueprint, url_prefix="/umbel")
"""

DJANGO = """
from django.conf import settings

settings.configure(SECRET_KEY="a long text", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DEBUG=False)
import django

django.setup()
from django.core.asgi import get_asgi_application
from django.urls import include, path

from fuzzed import SECRET, app, guarded
from umbel.contrib.django import Progress

tasks = guarded(Progress(app, secret=SECRET))
urlpatterns = [path("umbel/", include((tasks.urls, "umbel")))]
site = get_asgi_application()
"""

FACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "starlette": (STARLETTE, ("-m", "uvicorn", "served:site", "--port", "{port}")),
    "flask": (FLASK, ("-m", "gunicorn", "served:site", "--threads", "4", "-b", "127.0.0.1:{port}")),
    "django": (DJANGO, ("-m", "uvicorn", "served:site", "--port", "{port}")),
}

CHECKS: dict[str, list[Any]] = {
    "starlette": [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_headers_conformance,
        response_schema_conformance,
    ],
    "flask": [not_a_server_error],
    "django": [not_a_server_error],
}
"""What is said in the framework's own words, such as of a path that it does not pass on, is not described."""

EXPECTED = {501, 503}
"""Answers above 500 that say something: no stream under WSGI."""

EXAMPLES = 25
"""Of each operation, of what is described and of what is not."""


class Served(NamedTuple):
    """A face on a server; tickets of tasks that have ended, and of one that nobody runs."""

    face: str
    site: Site
    keys: list[str]


@pytest.fixture(scope="module", params=FACES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    face, site = request.param, Site(tmp_path_factory.mktemp("fuzzed"))
    program, line = FACES[face]
    (site.folder / "fuzzed.py").write_text(TASKS)
    (site.folder / "served.py").write_text(program)
    with site.worker("fuzzed"), site.server(*(part.format(port=site.port) for part in line)):
        keys = []
        for alias, given in (("typed", {"number": 1, "text": "<b>"}), ("failing", {"text": "<b>"})):
            status, _, body = site.post(f"/umbel/tasks/{alias}", json.dumps(given).encode())
            assert status == 202
            keys.append(json.loads(body)["key"])
            site.ended(keys[-1])
        yield Served(face, site, keys)
        assert "umbel failed" not in site.log("server"), site.log("server")


def operations() -> Any:
    """Those of the description."""
    names: dict[str, Any] = {}
    exec(TASKS.replace('Umbel("fuzzed")', 'Umbel("described", set_as_current=False)'), names)
    desk: Desk = names["guarded"](Desk(names["app"], secret=names["SECRET"]))
    schema = schemathesis.openapi.from_dict(desk.openapi("/umbel/"))
    found = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    assert len(found) == 10
    return found


def kinds() -> Iterator[Any]:
    """Each operation with what is described, and with what is not where anything is not: a key may be any text."""
    for operation in operations():
        for mode in GenerationMode:
            if mode is GenerationMode.POSITIVE or operation.body or operation.path == "/stream":
                yield pytest.param(operation, mode, id=f"{operation.label} {mode.value}")


@pytest.mark.parametrize(("operation", "mode"), list(kinds()))
def test_nothing_that_is_sent_is_a_mistake_of_the_servers(served: Served, operation: Any, mode: GenerationMode) -> None:
    asked = 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), key=st.sampled_from([None, *served.keys]))
    def send(case: Case[Any], key: str | None) -> None:
        nonlocal asked
        if key is not None and "key" in (case.path_parameters or {}):
            case.path_parameters["key"] = key
        if key is not None and operation.path == "/stream" and isinstance(case.query, dict):
            case.query["t"] = [f"{key}~0"]
        answer = case.call(base_url=f"{served.site.url}/umbel", timeout=60)
        asked += 1
        if answer.status_code not in EXPECTED:
            case.validate_response(answer, checks=CHECKS[served.face])

    send()
    assert asked
