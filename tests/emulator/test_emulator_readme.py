"""The figures of the emulator's README are those of the page of its conformance."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = re.compile(r"\*\*(\d+) asked: (\d+) equal, (\d+) followed, (\d+) different\.\*\*")


def test_the_readme_says_what_was_replayed() -> None:
    found = FIGURES.search((ROOT / "docs" / "11-conformance.md").read_text("utf-8"))
    assert found
    asked, equal, followed, different = found.groups()
    readme = " ".join((ROOT / "packages/containerapps-emulator/README.md").read_text("utf-8").split())
    assert f"Of {asked} recorded requests, {equal} get an equal answer here" in readme
    assert f"{followed} more differ only in how often" in readme
    assert f"and {different} differ, each for a written reason" in readme
