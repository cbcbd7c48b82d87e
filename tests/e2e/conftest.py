"""A headless Chromium that may only reach this machine, and an endpoint with its chat page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.api.endpoint_builder import KEY, KEYS, RunningEndpoint

from remora.server.settings import ServerSettings

PATIENCE_MS = 300_000  # a page is slow where all cores are busy; the defaults are 5 and 30 s
expect.set_options(timeout=PATIENCE_MS)
CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for the whole session: while it is open it runs an event loop, in which no async test can run."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def shared_endpoint() -> Iterator[RunningEndpoint]:
    """One for all tests of a file: Gradio takes seconds to start."""
    with RunningEndpoint(ServerSettings(api_keys=KEYS)) as running:
        yield running


@pytest.fixture
def endpoint(shared_endpoint: RunningEndpoint) -> Iterator[RunningEndpoint]:
    yield shared_endpoint
    shared_endpoint.release()


@pytest.fixture
def requested_urls() -> list[str]:
    """Every URL that the page asked for."""
    return []


@pytest.fixture
def page(browser: Browser, endpoint: RunningEndpoint, requested_urls: list[str]) -> Iterator[Page]:
    """A tab that nobody signed in with yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    tab = context.new_page()
    tab.on("request", lambda request: requested_urls.append(request.url))
    tab.goto(endpoint.url)
    yield tab
    context.close()


@pytest.fixture
def chat(page: Page) -> Page:
    """A tab that is signed in and shows the chat."""
    page.fill("#key", KEY)
    page.click("button")
    page.wait_for_selector("#question textarea")
    return page
