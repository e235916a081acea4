"""A browser, and the demo's page to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.web.demo import Demo

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

HISTORY = """
const attach = Element.prototype.attachShadow
Element.prototype.attachShadow = function (options) {
  const root = attach.call(this, options), told = this.told = []
  new MutationObserver(() => told.push(root.textContent))
    .observe(root, { subtree: true, childList: true, characterData: true })
  return root
}
"""
"""Has each element of ours keep in ``told`` all that it has shown."""

LONGEST = 60_000
"""Milliseconds that anything on a page may take."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo, as ``umbel demo`` starts it, quicker than for eyes."""
    made = Demo(tmp_path_factory.mktemp("demo"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a visitor's browser of its own; what its console complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(url: str, *, expected: tuple[str, ...] = (), **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 900}, **options})
        context.set_default_timeout(LONGEST)
        context.add_init_script(HISTORY)
        contexts.append(context)
        page = context.new_page()

        def hear(text: str) -> None:
            if not any(each in text for each in expected):
                complaints.append(text)

        page.on("console", lambda message: hear(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: hear(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def pictures(root: Path) -> Path:
    """Where screenshots for the documentation are written."""
    folder = root / "docs" / "images"
    folder.mkdir(exist_ok=True)
    return folder
