"""The site in a real browser: what axe finds, how wide the pages are, and whether the diagrams are drawn."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import CHROMIUM_OPTIONS, chromium

pytestmark = pytest.mark.browser

PAGES = ("index", "quickstart", "concepts/graph", "guides/middleware", "reference")
DESKTOP, PHONE = 1280, 390
# Without npm, `make docs` has no library that draws, and a diagram is shown as its text.
ALL_DRAWN = """() => typeof mermaid === "undefined" || [...document.querySelectorAll(".mermaid")].every(
  (diagram) => diagram.tagName === "DIV" && diagram.getBoundingClientRect().height > 50
)"""
SCROLLING = ".md-typeset__scrollwrap, pre, code, .mermaid"
TOO_WIDE = f"""() => [...document.querySelectorAll("article *")].filter(
  (part) => part.getBoundingClientRect().right > innerWidth + 1 && !part.closest("{SCROLLING}")
).map((part) => part.outerHTML.slice(0, 80))"""


class Silent(SimpleHTTPRequestHandler):
    """Serves files, and logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(params=[(scheme, width) for scheme in ("light", "dark") for width in (DESKTOP, PHONE)], ids=str)
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """A browser of one width and one colour scheme, whose requests and errors are watched."""
    scheme, width = request.param
    context = browser.new_context(
        base_url=address,
        viewport={"width": width, "height": 844},
        color_scheme=scheme,
        is_mobile=width == PHONE,
        reduced_motion="reduce",
    )
    problems: list[str] = []
    context.on("weberror", lambda error: problems.append(f"uncaught: {error.error}"))
    context.on("requestfailed", lambda failed: problems.append(f"failed: {failed.url}"))
    context.on(
        "request",
        lambda made: problems.append(f"abroad: {made.url}") if urlsplit(made.url).scheme == "https" else None,
    )
    yield context.new_page()
    context.close()
    assert problems == []


def test_each_page_is_accessible_fits_the_width_and_draws_its_diagrams(page: Page) -> None:
    for name in PAGES:
        page.goto(f"{name}.html", wait_until="networkidle")
        page.wait_for_function(ALL_DRAWN)
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0, name
        assert page.evaluate(TOO_WIDE) == [], name
        found = Axe().run(page).response["violations"]
        severe = [violation for violation in found if violation["impact"] in ("serious", "critical")]
        assert [(violation["id"], violation["nodes"][0]["html"][:120]) for violation in severe] == [], name


def test_the_first_screen_says_what_it_is(page: Page) -> None:
    page.goto("index.html")
    first = page.locator("article p").first
    assert "keeps thinking between turns" in first.inner_text()
    box = first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] < 844
