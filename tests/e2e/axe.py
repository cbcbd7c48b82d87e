"""axe-core on a page. Owns which of its findings count: the serious and the critical ones."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

FADING_SECONDS = 10.0  # what fades in has little contrast for a moment
AXE = Path(__file__).parents[2] / ".axe" / "node_modules" / "axe-core" / "axe.min.js"


def serious_findings(page: Page, place: str = "document") -> list[tuple[str, str, str]]:
    """Rule, impact and the first element of each finding there; skips the test where axe-core is missing."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed; run: make axe")
    page.add_script_tag(content=AXE.read_text("utf-8"))
    deadline = time.monotonic() + FADING_SECONDS
    while True:
        found: list[dict[str, Any]] = page.evaluate(f"axe.run({place}).then((result) => result.violations)")
        serious = [each for each in found if each["impact"] in {"serious", "critical"}]
        if not serious or time.monotonic() > deadline:
            return [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in serious]
