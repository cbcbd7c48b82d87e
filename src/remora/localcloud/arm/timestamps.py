"""Points in time as Azure writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now_text(*, ago: timedelta = timedelta(0)) -> str:
    """`2026-01-31T12:00:00.1234560Z`: UTC, seven digits, so that texts sort as times do."""
    return f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%S.%f}0Z"
