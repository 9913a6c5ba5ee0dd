"""A real browser on a real `mirror serve`, whose models are the local endpoint. Each test is a user of its own."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.serve.app import create_app
from mirror_graph.serve.settings import ServeSettings
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies

USERS = [f"user{number}" for number in range(100)]
CHROMIUM_OPTIONS = ["--no-sandbox", "--disable-gpu", "--no-proxy-server"]
WATCH_POLICY = (
    "addEventListener('securitypolicyviolation', (event) => console.error('policy', event.violatedDirective))"
)
SIGN_IN = "if (location.protocol === 'http:') sessionStorage.setItem('mirror-key', 'KEY')"  # not in about:blank
HIDING = """
let visibility = "visible";
Object.defineProperty(document, "visibilityState", { get: () => visibility });
window.becomes = (state) => { visibility = state; document.dispatchEvent(new Event("visibilitychange")); };
"""

expect.set_options(timeout=20_000)  # the machine may be busy; nothing waits longer than it must


def chromium() -> str:
    """The path of the browser. Its absence is a failure: a page that no browser has shown is not tested."""
    found = os.environ.get("MIRROR_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.fail("the browser tests need Chromium: apt-get install chromium, or set MIRROR_CHROMIUM to its path")
    return found


class Server:
    """`mirror serve` in a process of its own, which a test may kill and start again at the same address."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        code = "from mirror_graph.cli import main; main()"
        self._command = [sys.executable, "-c", code, "serve", "--port", str(self.port), "--model", "openai:test"]
        self._command += ["--database", str(folder / "mirror.db"), *options]
        self._log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        for _ in range(600):
            try:
                urlopen(f"{self.url}health", timeout=5).close()
                return
            except (URLError, ConnectionError, TimeoutError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        pytest.fail(f"the server did not start: {self._log.read_text()}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def session_endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", endpoint.url)
        patch.setenv("OPENAI_API_KEY", "none")
        yield endpoint


@pytest.fixture
def models(session_endpoint: Endpoint, replies: Replies) -> Replies:
    """What the models reply in this test."""
    session_endpoint.answer = replies
    return replies


def key_of(user: str) -> str:
    return f"{user}-has-a-key-that-is-long-enough-for-a-test"


@pytest.fixture(scope="session")
def server(session_endpoint: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests, with users who sign in."""
    folder = tmp_path_factory.mktemp("server")
    keys = folder / "keys.toml"
    keys.write_text("".join(f'{user} = "{key_of(user)}"\n' for user in USERS))
    server = Server(folder, "--keys", str(keys))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def own_server(session_endpoint: Endpoint, models: Replies, tmp_path: Path) -> Iterator[Server]:
    """A server of this test's own, without sign-in."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


class Visit:
    """A user's browser: every page of it is watched for errors, for requests abroad and for breaches of the policy."""

    def __init__(self, browser: Browser, url: str, user: str | None, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(viewport={"width": 1280, "height": 860}, **options)
        self.url = url
        self.problems: list[str] = []
        self.requests: list[Request] = []
        self.may_fail = False
        self.context.add_init_script(WATCH_POLICY)
        self.context.add_init_script(HIDING)
        if user is not None:
            self.context.add_init_script(SIGN_IN.replace("KEY", key_of(user)))
        self.context.on("console", self._note_console)
        self.context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))
        self.context.on("request", self._note_request)

    def open(self, conversation: str = "first") -> Page:
        page = self.context.new_page()
        page.goto(f"{self.url}#{conversation}")
        expect(page.locator("#title")).not_to_be_empty()
        expect(page.locator("#connection")).to_be_empty()
        return page

    def close(self) -> None:
        self.context.close()
        assert not self.problems

    def _note_console(self, message: ConsoleMessage) -> None:
        is_network = "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not (self.may_fail and is_network):
            self.problems.append(f"{message.type}: {message.text}")

    def _note_request(self, request: Request) -> None:
        self.requests.append(request)
        if urlsplit(request.url).netloc != urlsplit(self.url).netloc:
            self.problems.append(f"a request abroad: {request.url}")


_users = iter(USERS)


@pytest.fixture
def visit(browser: Browser, server: Server, models: Replies) -> Iterator[Callable[..., Visit]]:
    """Open a browser for a user, by default one user for the whole test."""
    me = next(_users)
    visits: list[Visit] = []

    def begin(user: str = me, **options: Any) -> Visit:
        visits.append(Visit(browser, server.url, user, **options))
        return visits[-1]

    yield begin
    for one in visits:
        one.close()


@pytest.fixture
def other_user() -> str:
    return next(_users)


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def wait_for_mind(page: Page, turn: int) -> None:
    expect(page.locator("#lag")).to_have_text(f"Up to date, turn {turn}")


@contextmanager
def mounted(path: str, database: Path) -> Iterator[str]:
    """Run the application as a part of another one, under a path, and return its address with a slash at the end."""
    ready, over = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def run() -> None:
        context = MirrorContext(talker_model="openai:test")
        async with open_mirror(database, context=context, transcripts=True) as mirror:
            below = create_app(mirror, settings=ServeSettings(local_user="me"))
            outer = FastAPI()
            outer.mount(path, below)
            server = uvicorn.Server(uvicorn.Config(outer, port=port, log_level="warning", timeout_graceful_shutdown=2))
            serving = asyncio.create_task(server.serve())
            while not server.started:  # noqa: ASYNC110  # uvicorn sets a flag
                await asyncio.sleep(0.05)
            ready.set()
            await asyncio.to_thread(over.wait)
            below.state.stopping.set()
            server.should_exit = True
            await serving

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(60)
    try:
        yield f"http://127.0.0.1:{port}{path}/"
    finally:
        over.set()
        thread.join()
