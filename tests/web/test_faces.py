"""Tests of the faces for web frameworks: the examples, as they stand, in an empty project, on real servers."""

from __future__ import annotations

import json
import re
import shutil
import signal
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.web.site import ROOT, Site
from tools.redis_server import RedisServer

pytestmark = pytest.mark.slow

SERVERS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "fastapi": ("fastapi_report", ("-m", "uvicorn", "fastapi_report:api", "--port", "{port}"), True),
    "django-asgi": ("django_report", ("-m", "uvicorn", "django_report:asgi", "--port", "{port}"), True),
    "django-wsgi": ("django_report", ("-m", "gunicorn", "django_report:wsgi", "-b", "127.0.0.1:{port}"), False),
    "django-runserver": ("django_report", ("django_report.py", "runserver", "--noreload", "{port}"), False),
    "flask": ("flask_report", ("-m", "flask", "--app", "flask_report", "run", "--port", "{port}"), False),
}
"""By name: the example, the server's command line, and whether it holds streams open."""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("name", SERVERS)
def test_an_example_works_when_it_is_pasted_into_an_empty_project(site: Site, name: str) -> None:
    example, line, streams = SERVERS[name]
    shutil.copy(ROOT / "examples" / f"{example}.py", site.folder)
    with site.worker(example), site.server(*(part.format(port=site.port) for part in line)):
        status, _, body = site.get("/")
        assert status == 200
        (key,) = re.findall(r'task="(tk_[\w.-]+)"', body.decode())
        status, headers, _ = site.get("/umbel/umbel-progress.js")
        assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
        if streams:
            assert followed(site, key)["message"] == "The report has 20 pages"
        else:
            assert site.get(f"/umbel/stream?t={key}~0")[0] == 501
        seen = site.ended(key)
        assert (seen["state"], seen["percent"], seen["message"]) == ("SUCCESS", 100.0, "The report has 20 pages")
        assert "result" not in seen
        _, _, page = site.get("/")
        (other,) = re.findall(r'task="(tk_[\w.-]+)"', page.decode())
        assert site.post(f"/umbel/tasks/{other}/cancel", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
        assert site.post(f"/umbel/tasks/{other}/cancel", **{"Sec-Fetch-Site": "same-origin"})[0] == 202
        assert site.ended(other)["state"] == "REVOKED"
        assert b"Cancelled" in site.get(f"/umbel/tasks/{other}/page")[2]
        assert site.get("/umbel/tasks/tk_forged.x")[0] == 403


@pytest.mark.server
def test_a_stream_is_the_same_when_messages_and_progress_are_on_redis(site: Site, redis: RedisServer) -> None:
    example, line, _ = SERVERS["fastapi"]
    shutil.copy(ROOT / "examples" / f"{example}.py", site.folder)
    site.environ["UMBEL_BROKER_URL"] = f"{redis.url}?global_keyprefix={uuid.uuid4().hex}:"
    with site.server(*(part.format(port=site.port) for part in line)):
        pages = [site.get("/")[2].decode() for _ in range(2)]
        first, second = (re.findall(r'task="(tk_[\w.-]+)"', page)[0] for page in pages)
        assert json.loads(site.get(f"/umbel/tasks/{second}")[2])["ahead"] == 1
        with site.worker(example):
            assert followed(site, first)["message"] == "The report has 20 pages"
            seen = site.ended(second)
    assert (seen["state"], seen["percent"], seen["message"]) == ("SUCCESS", 100.0, "The report has 20 pages")


def followed(site: Site, key: str) -> Any:
    """The last snapshot of a stream."""
    snaps = []
    with site.stream(f"/umbel/stream?t={key}~0") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer:
            if line.startswith(b'data: {"v"'):
                snaps.append(json.loads(line[6:]))
    assert [snap["seq"] for snap in snaps] == sorted({snap["seq"] for snap in snaps})
    assert len(snaps) > 3
    return snaps[-1]


@pytest.mark.parametrize("name", ["fastapi", "django-asgi"])
def test_a_server_that_is_to_end_says_goodbye_to_whoever_follows(site: Site, name: str) -> None:
    example, line, _ = SERVERS[name]
    shutil.copy(ROOT / "examples" / f"{example}.py", site.folder)
    with site.server(*(part.format(port=site.port) for part in line)) as server:
        _, _, body = site.get("/")
        (key,) = re.findall(r'task="(tk_[\w.-]+)"', body.decode())
        with site.stream(f"/umbel/stream?t={key}~0") as answer:
            said = [answer.readline() for _ in range(3)]
            assert said[0] == b"retry: 2000\n"
            server.send_signal(signal.SIGTERM)
            rest = answer.read()
        assert b"event: bye" in rest
        assert server.wait(60) in (0, -signal.SIGTERM)
