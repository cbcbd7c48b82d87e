"""A browser before a front whose model sleeps: it signs in, sees the progress, and then chats."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from tests.api.endpoint_builder import KEY
from tests.api.front_builder import PROGRESS, fronted
from tests.e2e.conftest import PATIENCE_MS
from tests.e2e.test_e2e_chat_page import BOX, pick, send

pytestmark = [
    pytest.mark.browser,
    # Gradio uses what pandas 3 calls deprecated.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]


def test_the_page_shows_the_progress_and_then_answers(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    with fronted(tmp_path, wait_seconds=200.0, page=True) as asleep:
        page.goto(asleep.front.url)
        assert asleep.ingress.connections == 0
        page.fill("#key", KEY)
        with asleep.starting():
            page.click("button")
            expect(page.get_by_role("status")).to_have_text(f"starting: {PROGRESS}")
        asleep.ingress.wake()
        expect(page.locator(BOX)).to_be_visible()
        pick(page, "pirate")
        send(page, "hello")
        expect(page.locator("#chat")).to_contain_text("0badcafe0bad:hello")
        assert all(url.startswith((asleep.front.url, "data:", "blob:")) for url in asked), asked
        context.close()
