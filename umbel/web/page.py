"""The page that shows one task and refreshes itself, for browsers without JavaScript."""

from __future__ import annotations

from html import escape
from typing import Any

from umbel.progress.telling import seconds_of
from umbel.web.exchange import Answer, Asked

REFRESH = 2
"""Seconds between two looks."""

POLICY = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"

_TITLES = {
    "SUCCESS": "Done",
    "FAILURE": "Failed",
    "REVOKED": "Cancelled",
    "PENDING": "Waiting",
    "RETRY": "Trying again",
}


def answer(asked: Asked, facts: dict[str, Any]) -> Answer:
    """The page of a task of which these facts may be shown."""
    final = bool(facts.get("final"))
    title = _TITLES.get(facts["state"], "Working")
    refresh = "" if final else f'<meta http-equiv="refresh" content="{REFRESH}">'
    parts = [_bar(facts), *(f"<p>{escape(line)}</p>" for line in _lines(facts)), _result(facts)]
    parts += [f'<p><a href="{escape(address)}">{escape(label)}</a></p>' for label, address in facts.get("links", ())]
    if not final and "cancel" in facts.get("can", ()) and not facts.get("cancelling"):
        place = escape(f"{asked.base}tasks/{facts['key']}/cancel")
        parts.append(f'<form method="post" action="{place}"><button>Cancel</button></form>')
    body = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{escape(asked.base)}umbel-progress.css"><title>{title}</title></head>'
        f"<body><main><h1>{title}</h1>{''.join(parts)}</main></body></html>"
    )
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", POLICY),
    )
    return Answer(200, body.encode("utf-8", "replace"), headers)


def _bar(facts: dict[str, Any]) -> str:
    percent = facts.get("percent")
    if facts.get("final") and percent is None:
        return ""
    value = "" if percent is None else f' value="{percent:g}"'
    return f'<progress max="100"{value} aria-label="Progress"></progress>'


def _lines(facts: dict[str, Any]) -> list[str]:
    lines = []
    if facts.get("message"):
        lines.append(facts["message"])
    if facts.get("current") is not None:
        of = "" if facts.get("total") is None else f" / {facts['total']:,}"
        lines.append(f"{facts['current']:,}{of} {facts.get('unit') or ''}".strip())
    if facts.get("stage"):
        lines.append(facts["stage"]["label"])
    if facts.get("ahead") is not None:
        lines.append(f"{facts['ahead']} tasks ahead")
    if facts.get("eta") is not None:
        lines.append(f"about {seconds_of(facts['eta'])} left")
    if facts.get("state") == "RETRY":
        lines.append(f"attempt {facts['attempt']} follows")
    if facts.get("cancelling"):
        lines.append("Stopping")
    if error := facts.get("error"):
        lines.append(error["text"] + (f" (ref {error['ref']})" if error.get("ref") else ""))
    return lines


def _result(facts: dict[str, Any]) -> str:
    value = facts.get("result")
    return "" if value is None else f"<pre>{escape(str(value))}</pre>"
