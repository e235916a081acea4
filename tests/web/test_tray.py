"""Tests of the corner that lists a visitor's tasks, over page changes, in a real browser."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Request, Route, expect

from tests.web.demo import Demo
from umbel.contrib.demo.site import POLICY

pytestmark = [pytest.mark.slow, pytest.mark.server]

Opened = Callable[..., Page]

PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>{name}</title><link rel="icon" href="data:,"><script type="module" src="/umbel/umbel-tray.js"></script>
<main><h1>{name}</h1><a href="/second">Go on</a></main>
<umbel-tray base="/umbel/" label="Your tasks"></umbel-tray>"""


@pytest.fixture
def visited(demo: Demo, opened: Opened) -> Callable[..., Page]:
    """Opens the first of two pages of a site with a tray, under the policy of the demo."""

    def visit(**options: object) -> Page:
        page = opened("about:blank", **options)

        def answer(route: Route) -> None:
            name = "Second" if route.request.url.endswith("/second") else "First"
            headers = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
            route.fulfill(body=PAGE.format(name=name), headers=headers)

        for name in ("first", "second"):
            page.context.route(urljoin(demo.url, name), answer)
        page.goto(urljoin(demo.url, "first"))
        return page

    return visit


def start(demo: Demo, task: str) -> str:
    """The ticket of a task that was started now."""
    request = urllib.request.Request(f"{demo.url}umbel/tasks/{task}", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["key"])


def add(page: Page, ticket: str, label: str) -> Locator:
    """Put a task into the tray; gives its element there."""
    adding = """async (tray, [ticket, label]) => {
        await customElements.whenDefined("umbel-tray");
        tray.add(ticket, label);
    }"""
    page.locator("umbel-tray").evaluate(adding, [ticket, label])
    return page.locator(f"umbel-progress[label='{label}']")


def test_a_task_is_followed_over_page_changes_to_its_end_and_dismissed(
    demo: Demo, visited: Callable[..., Page], pictures: Path
) -> None:
    page = visited()
    tray = page.locator("umbel-tray")
    expect(tray).to_be_hidden()
    bad = add(page, start(demo, "import_customers"), "Import of customers")
    expect(tray).to_be_visible()
    expect(bad).to_contain_text("rows")
    page.get_by_role("link", name="Go on").click()
    expect(page.get_by_role("heading", name="Second")).to_be_visible()
    report = add(page, start(demo, "report"), "Monthly report")
    expect(bad).to_contain_text("Row 4 is malformed")
    expect(report).to_contain_text("The report has 12 pages")
    page.reload()
    expect(report).to_contain_text("The report has 12 pages")
    tray.screenshot(path=pictures / "tray.png", animations="disabled")
    page.get_by_role("button", name="Dismiss Import of customers").click()
    expect(bad).to_have_count(0)
    page.go_back()
    expect(report).to_contain_text("The report has 12 pages")
    expect(bad).to_have_count(0)
    page.get_by_role("button", name="Dismiss Monthly report").click()
    expect(tray).to_be_hidden()


def test_what_runs_can_be_cancelled_and_not_dismissed(demo: Demo, visited: Callable[..., Page]) -> None:
    page = visited()
    running = add(page, start(demo, "stubborn"), "A slow one")
    expect(running).to_contain_text("steps")
    expect(page.get_by_role("button", name="Dismiss A slow one")).to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    expect(running).to_contain_text("Cancelled")
    expect(page.get_by_role("button", name="Dismiss A slow one")).to_be_visible()


def test_all_of_them_have_one_stream_and_a_task_that_is_added_twice_is_there_once(
    demo: Demo, visited: Callable[..., Page]
) -> None:
    page = visited()
    streams: set[Request] = set()

    def begun(request: Request) -> None:
        if "/stream?" in request.url:
            streams.add(request)

    page.on("request", begun)
    page.on("requestfailed", lambda request: streams.discard(request))
    tickets = [start(demo, "stubborn") for _ in range(5)]
    for number, ticket in enumerate((*tickets, tickets[0])):
        add(page, ticket, f"Number {number}")
    expect(page.locator("umbel-progress")).to_have_count(5)
    expect(page.locator("umbel-progress [part=facts]", has_text="steps")).to_have_count(4)  # of four runners
    assert len(streams) == 1
    for _ in range(5):
        page.get_by_role("button", name="Cancel").and_(page.locator(":enabled")).first.click()
    expect(page.locator("umbel-progress [part=text]", has_text="Cancelled")).to_have_count(5)


def test_one_whose_ticket_is_no_longer_good_can_be_dismissed(demo: Demo, visited: Callable[..., Page]) -> None:
    page = visited(expected=("403",))
    gone = add(page, "tk_forged.x", "Of yesterday")
    expect(gone).to_contain_text("may not be shown")
    page.get_by_role("button", name="Dismiss Of yesterday").click()
    expect(page.locator("umbel-tray")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_stands_in_nobodys_way(demo: Demo, visited: Callable[..., Page], scheme: str, width: int) -> None:
    page = visited(color_scheme=scheme, viewport={"width": width, "height": 900})
    bad = add(page, start(demo, "import_customers"), "Import of customers")
    running = add(page, start(demo, "stubborn"), "A slow one")
    expect(bad).to_contain_text("Row 4")
    expect(running).to_contain_text("steps")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(bad).to_have_count(0)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(running).to_contain_text("Cancelled")
