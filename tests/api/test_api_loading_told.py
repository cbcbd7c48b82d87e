"""What an engine tells while it loads gets to the endpoint's log, and nothing does afterwards."""

from __future__ import annotations

from remora.engine.loading import PROGRESS
from remora.server.serving import loading_told


def test_progress_is_reported_while_an_engine_loads() -> None:
    lines: list[str] = []
    with loading_told(lines.append):
        PROGRESS.info("loading weights %d of %d", 12, 28)
    PROGRESS.info("loading weights %d of %d", 28, 28)
    assert lines == ["loading weights 12 of 28"]
