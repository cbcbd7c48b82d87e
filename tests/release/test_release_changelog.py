"""The changelog's sections, as `make release` writes them."""

from __future__ import annotations

import datetime

import pytest
from scripts.release import released

DAY = datetime.date(2026, 12, 1)


def test_what_was_unreleased_gets_the_version_and_the_day() -> None:
    text = "# Changelog\n\n## [Unreleased]\n\n### Added\n- A thing.\n\n## [0.1.0] - 2026-11-01\n"
    assert released(text, "0.2.0", DAY) == (
        "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n- A thing.\n"
        "\n## [0.1.0] - 2026-11-01\n"
    )


@pytest.mark.parametrize("text", ["# Changelog\n", "## [Unreleased]\n\n## [0.1.0] - 2026-11-01\n- Old.\n"])
def test_a_release_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(SystemExit, match="nothing under"):
        released(text, "0.2.0", DAY)
