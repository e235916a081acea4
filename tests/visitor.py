"""A visitor of the demo's page who has no browser."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any
from urllib.parse import urljoin

PATIENCE = 60.0


def look_around(url: str) -> None:
    """Fetch the page and what it is made of, press one of its buttons, and follow that task to its end."""
    page = fetch(url)
    assert "A report in stages" in page
    parts = [urljoin(url, path) for path in re.findall(r'(?:src|href)="(/[^"]+)"', page)]
    assert len(parts) >= 3
    assert all(fetch(part) for part in parts)
    buttons = re.findall(r'action="(/[^"]+)"', page)
    assert len(buttons) == 6
    (imports,) = [path for path in buttons if path.endswith("/import_customers")]
    begun = json.loads(fetch(urljoin(url, imports), "{}"))
    last = snapshots(urljoin(url, begun["stream"]))[-1]
    assert last["final"]
    assert last["error"]["text"].startswith("Row 4 is malformed")
    assert json.loads(fetch(urljoin(url, begun["status"]))) == last


def snapshots(url: str) -> list[Any]:
    """What a stream tells until it ends."""
    data = re.findall(r"^event: snapshot\ndata: (.+)$", fetch(url), re.MULTILINE)
    return [json.loads(line) for line in data]


def fetch(url: str, body: str | None = None) -> str:
    """The answer's body; ``body`` is sent as JSON by POST."""
    sent = None if body is None else body.encode()
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json"} if body else {})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status in (200, 202), answer.status
        return str(answer.read().decode())
