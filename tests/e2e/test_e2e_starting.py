"""The page of an endpoint whose model loads, in headless Chromium: progress, and then the page behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect
from tests.api.slow_start import slow_start
from tests.e2e.axe import serious_findings

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(1280, 800, "light"), (390, 844, "dark")], ids=["wide", "phone"]
)
def test_it_shows_the_progress_and_then_the_endpoints_own_page(
    browser: Browser, tmp_path: Path, width: int, height: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    with slow_start(tmp_path) as start:
        page.goto(start.url)
        expect(page.get_by_role("status")).to_have_text("starting: loading weights 12 of 28")
        page.screenshot(path=tmp_path / "starting.png")
        assert serious_findings(page) == []
        start.go()
        expect(page.locator("#key")).to_be_visible()
    context.close()
