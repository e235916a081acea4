"""Tests of the demo's page in a real browser; each button's end is a picture in docs/images."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, Request, expect

from tests.web.demo import Demo
from tests.web.site import ROOT, Site

pytestmark = [pytest.mark.slow, pytest.mark.server]

Opened = Callable[..., Page]

WSGI = [
    ("flask_report", ("-m", "flask", "--app", "flask_report", "run", "--port", "{port}")),
    ("django_report", ("-m", "gunicorn", "django_report:wsgi", "-b", "127.0.0.1:{port}")),
]

expect.set_options(timeout=60_000)


def press(page: Page, button: str, label: str) -> Locator:
    """Press a button of the demo; gives the element of the task that it starts."""
    before = page.locator(f"umbel-progress[label='{label}']").count()
    page.get_by_role("button", name=button).click()
    element = page.locator(f"umbel-progress[label='{label}']").first
    expect(page.locator(f"umbel-progress[label='{label}']")).to_have_count(before + 1)
    return element


def bar(element: Locator) -> Locator:
    return element.get_by_role("progressbar")


def moves_to(element: Locator, least: float) -> None:
    """Return once the bar stands there or further."""
    expect(bar(element)).to_have_attribute(
        "aria-valuenow", re.compile(rf"^({'|'.join(map(str, range(int(least), 101)))})$")
    )


def told(element: Locator, pattern: str) -> None:
    """Return once the element has shown this; it may show something else by now."""
    deadline = time.monotonic() + 60
    while not element.evaluate("(it, pattern) => it.told.some(text => RegExp(pattern, 's').test(text))", pattern):
        assert time.monotonic() < deadline, f"{pattern!r} is not in {element.evaluate('it => it.told')}"
        element.page.wait_for_timeout(50)


def kept(page: Page, element: Locator, pictures: Path, name: str) -> None:
    element.screenshot(path=pictures / f"{name}.png", animations="disabled")


def test_a_report_moves_through_its_stages_to_its_final_message(demo: Demo, opened: Opened, pictures: Path) -> None:
    page = opened(demo.url)
    element = press(page, "A report in stages", "Monthly report")
    told(element, r"Compute \(2/3\)")
    moves_to(element, 20)
    told(element, "rows")
    moves_to(element, 50)
    moves_to(element, 100)
    expect(element).to_contain_text("The report has 12 pages")
    expect(element.get_by_role("link", name="Open the report")).to_have_attribute("href", "/report")
    kept(page, element, pictures, "report")


def test_tasks_are_followed_beside_each_other(demo: Demo, opened: Opened, pictures: Path) -> None:
    page = opened(demo.url)
    bad = press(page, "An import with a bad row", "Import of customers")
    expect(bad).to_contain_text("Row 4 is malformed")
    resized = press(page, "200 pictures, resized", "Two hundred pictures")
    moves_to(resized, 20)
    expect(resized).to_contain_text("200 pictures are smaller now")
    report = press(page, "A report in stages", "Monthly report")
    moves_to(report, 30)
    page.locator("main").screenshot(path=pictures / "demo.png", animations="disabled")
    expect(report).to_contain_text("The report has 12 pages")


def test_a_bad_row_ends_in_words_for_its_user(demo: Demo, opened: Opened, pictures: Path) -> None:
    page = opened(demo.url)
    element = press(page, "An import with a bad row", "Import of customers")
    expect(element).to_contain_text("Row 4 is malformed")
    expect(element).to_contain_text("3 / 5 rows")
    expect(element.get_by_role("button")).to_have_count(0)
    kept(page, element, pictures, "import")


def test_a_file_of_ones_own_is_imported_and_its_bad_row_named(demo: Demo, opened: Opened, tmp_path: Path) -> None:
    page = opened(demo.url)
    for text, said in (("Ada,ada@example.org\nGrace\n", "Row 2 is malformed"), ("Ada,a@example.org\n", "1 lines are")):
        (tmp_path / "customers.csv").write_text(text)
        page.get_by_label("Customers to import").set_input_files(tmp_path / "customers.csv")
        expect(press(page, "An import with a bad row", "Import of customers")).to_contain_text(said)


def test_two_hundred_pictures_are_cancelled_in_the_middle(demo: Demo, opened: Opened, pictures: Path) -> None:
    page = opened(demo.url)
    element = press(page, "200 pictures, resized", "Two hundred pictures")
    expect(element).to_contain_text(re.compile(r"\d+ / 200 pictures"))
    element.get_by_role("button", name="Cancel").click()
    expect(element).to_contain_text("Cancelled")
    expect(element.get_by_role("button")).to_have_count(0)
    kept(page, element, pictures, "cancelled")


def test_a_task_that_says_nothing_has_a_bar_of_its_usual_time_the_second_time(
    demo: Demo, opened: Opened, pictures: Path
) -> None:
    page = opened(demo.url)
    first = press(page, "A task that says nothing", "A quiet task")
    expect(first).to_contain_text("Done")
    second = press(page, "A task that says nothing", "A quiet task")
    told(second, "usually takes about")
    kept(page, second, pictures, "quiet")
    expect(second).to_contain_text("Done")


def test_a_flaky_task_says_which_attempt_comes_when(demo: Demo, opened: Opened, pictures: Path) -> None:
    page = opened(demo.url)
    element = press(page, "A task that tries again", "A flaky task")
    told(element, r"Trying again.*attempt [23] of 5")
    kept(page, element, pictures, "retry")
    expect(element).to_contain_text("The service has answered")


def test_one_that_is_slow_to_cancel_says_that_it_is_stopping(demo: Demo, opened: Opened, pictures: Path) -> None:
    page = opened(demo.url)
    element = press(page, "One that is slow to cancel", "A slow one to cancel")
    moves_to(element, 1)
    element.get_by_role("button", name="Cancel").click()
    told(element, "Stopping…")
    kept(page, element, pictures, "stopping")
    expect(element).to_contain_text("Cancelled")


def test_loading_the_page_again_goes_on_where_it_was(demo: Demo, opened: Opened) -> None:
    page = opened(demo.url)
    element = press(page, "One that is slow to cancel", "A slow one to cancel")
    moves_to(element, 2)
    page.reload()
    again = page.locator("umbel-progress").first
    moves_to(again, 3)
    again.get_by_role("button", name="Cancel").click()
    expect(again).to_contain_text("Cancelled")


def test_thirty_elements_have_one_stream(demo: Demo, opened: Opened) -> None:
    page = opened(demo.url)
    open_ones: set[object] = set()
    most = 0

    def begun(request: Request) -> None:
        nonlocal most
        if "/stream" in request.url:
            open_ones.add(request)
            most = max(most, len(open_ones))

    page.on("request", begun)
    page.on("requestfinished", lambda request: open_ones.discard(request))
    page.on("requestfailed", lambda request: open_ones.discard(request))
    for _ in range(30):
        page.get_by_role("button", name="An import with a bad row").click()
    expect(page.locator("umbel-progress")).to_have_count(30)
    expect(page.locator("[part=text]", has_text="Row 4 is malformed")).to_have_count(30)
    assert most <= 2  # for a moment the one before it is there, too, and is being closed


def test_seven_tabs_of_one_browser_all_load_and_are_followed_when_they_are_shown(demo: Demo, opened: Opened) -> None:
    """A browser opens six connections to a server: tabs that kept their streams would let no seventh load."""
    page = opened(demo.url)
    tabs = [page, *(page.context.new_page() for _ in range(6))]
    elements = []
    for number, tab in enumerate(tabs):
        tab.goto(demo.url)
        elements.append(press(tab, "A report in stages", "Monthly report"))
        moves_to(elements[-1], 1)
        if number < 6:
            hide(tab, True)
    for tab, element in zip(tabs, elements, strict=True):
        hide(tab, False)
        expect(element).to_contain_text("The report has 12 pages")


def test_a_server_that_is_killed_and_started_again_is_found_again(
    tmp_path: Path, browser: object, opened: Opened
) -> None:
    demo = Demo(tmp_path)
    demo.start()
    page = opened(demo.url, expected=("Failed to load resource",))
    element = press(page, "One that is slow to cancel", "A slow one to cancel")
    moves_to(element, 1)
    demo.stop(kill=True)
    expect(element).to_contain_text("reconnecting…")
    demo.start()
    try:
        expect(element).not_to_contain_text("reconnecting…")
        element.get_by_role("button", name="Cancel").click()
        expect(element).to_contain_text("Cancelled")
    finally:
        demo.stop()


def test_a_server_that_has_no_room_is_asked_again(demo: Demo, opened: Opened) -> None:
    page = opened(demo.url, expected=("503",))
    refusals = 0

    def refuse(route: object) -> None:
        nonlocal refusals
        refusals += 1
        if refusals < 3:
            route.fulfill(status=503, headers={"retry-after": "1"})  # type: ignore[attr-defined]
        else:
            route.continue_()  # type: ignore[attr-defined]

    page.route("**/stream?*", refuse)
    element = press(page, "A report in stages", "Monthly report")
    expect(element).to_contain_text("The report has 12 pages")
    assert refusals >= 3


@pytest.mark.parametrize(
    ("status", "text"),
    [(401, "Log in"), (403, "may not be shown"), (410, "Load the page again")],
)
def test_what_may_not_be_seen_is_said_and_not_asked_again(demo: Demo, opened: Opened, status: int, text: str) -> None:
    page = opened(demo.url, expected=(str(status),))
    asked: list[str] = []

    def refuse(route: object) -> None:
        asked.append("once")
        route.fulfill(status=status)  # type: ignore[attr-defined]

    page.route("**/stream?*", refuse)
    element = press(page, "A task that says nothing", "A quiet task")
    expect(element).to_contain_text(text)
    second = press(page, "An import with a bad row", "Import of customers")
    expect(second).to_contain_text(text)
    assert len(asked) == 2


def test_a_server_that_holds_no_streams_is_polled(demo: Demo, opened: Opened) -> None:
    page = opened(demo.url, expected=("501",))
    page.route("**/stream?*", lambda route: route.fulfill(status=501))
    element = press(page, "A report in stages", "Monthly report")
    moves_to(element, 20)
    expect(element).to_contain_text("The report has 12 pages")


@pytest.mark.parametrize(("example", "line"), WSGI)
def test_a_wsgi_server_is_polled_until_the_end(
    tmp_path: Path, opened: Opened, example: str, line: tuple[str, ...]
) -> None:
    site = Site(tmp_path)
    shutil.copy(ROOT / "examples" / f"{example}.py", tmp_path)
    with site.worker(example), site.server(*(part.format(port=site.port) for part in line)):
        page = opened(site.url, expected=("501", "404"))  # 404: examples have no icon
        element = page.locator("umbel-progress")
        moves_to(element, 10)
        expect(element).to_contain_text("Writing")
        element.get_by_role("button", name="Cancel").click()
        expect(element).to_contain_text("Cancelled")
        page.reload()
        expect(element).to_contain_text("The report has 20 pages")


def test_without_javascript_the_page_refreshes_itself(demo: Demo, opened: Opened, pictures: Path) -> None:
    page = opened(demo.url, java_script_enabled=False)
    page.get_by_role("button", name="200 pictures, resized").click()
    expect(page).to_have_url(re.compile("/page$"))
    expect(page.get_by_role("heading")).to_have_text("Working")
    page.screenshot(path=pictures / "without-javascript.png")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading")).to_have_text("Cancelled")


def test_a_hidden_tab_holds_no_stream_and_goes_on_when_it_is_shown(demo: Demo, opened: Opened) -> None:
    page = opened(demo.url)
    element = press(page, "One that is slow to cancel", "A slow one to cancel")
    moves_to(element, 1)
    with page.expect_event("requestfailed", lambda request: "/stream" in request.url):
        hide(page, True)
    with page.expect_request("**/stream?*"):
        hide(page, False)
    element.get_by_role("button", name="Cancel").click()
    expect(element).to_contain_text("Cancelled")


def hide(page: Page, hidden: bool) -> None:
    """What the browser does when another tab is brought to the front."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true })
            document.dispatchEvent(new Event('visibilitychange'))
        }""",
        hidden,
    )


@pytest.mark.parametrize("state", ["PROGRESS", "FAILURE", "<b>"])
def test_programs_in_any_field_stay_text(demo: Demo, opened: Opened, state: str) -> None:
    page = opened(demo.url, expected=("SENTINEL",))
    evil = "<script>console.error('ran')</script><img src=x onerror=console.error('ran')>"
    snap = {
        "v": 1,
        "state": state,
        "error": {"text": evil, "ref": evil} if state == "FAILURE" else None,
        "final": state == "FAILURE",
        "attempts": evil,
        "attempt": 2,
        "children": {"n": evil, "done": evil, "running": evil, "failed": evil},
        "seq": 5,
        "percent": 10,
        "message": evil,
        "unit": evil,
        "current": 1,
        "stage": {"i": 1, "n": 2, "label": evil},
        "links": [[evil, "javascript:console.error('ran')"], [evil, "//evil.org"], ["Fine", "/fine"]],
    }

    def answer(route: object) -> None:
        key = re.findall(r"t=(tk_[^~&]+)", route.request.url)[0]  # type: ignore[attr-defined]
        body = f"event: snapshot\ndata: {json.dumps({**snap, 'key': key})}\n\n"
        route.fulfill(status=200, content_type="text/event-stream", body=body)  # type: ignore[attr-defined]

    page.route("**/stream?*", answer)
    element = press(page, "A task that says nothing", "A quiet task")
    expect(element).to_contain_text("<script>console.error")
    element.evaluate("(element, evil) => element.setAttribute('label', evil)", evil)
    element = page.locator("umbel-progress")
    expect(element.locator("[part=label]")).to_have_text(evil)
    expect(element.locator("script, img")).to_have_count(0)
    expect(element.get_by_role("link")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_stands_in_anybodys_way(demo: Demo, opened: Opened, scheme: str, width: int) -> None:
    page = opened(demo.url, color_scheme=scheme, viewport={"width": width, "height": 900}, bypass_csp=False)
    failed = press(page, "An import with a bad row", "Import of customers")
    running = press(page, "One that is slow to cancel", "A slow one to cancel")
    expect(failed).to_contain_text("Row 4")
    moves_to(running, 1)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    scroll: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert scroll == 0
    running.get_by_role("button", name="Cancel").click()
    expect(running).to_contain_text("Cancelled")


def test_the_keyboard_is_enough(demo: Demo, opened: Opened) -> None:
    page = opened(demo.url)
    for _ in range(6):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    element = page.locator("umbel-progress[label='A slow one to cancel']")
    expect(element.get_by_role("button", name="Cancel")).to_be_visible()
    page.keyboard.press("Tab")  # the file to import
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(element).to_contain_text("Cancelled")
