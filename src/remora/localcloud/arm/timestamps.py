"""Timestamps as Azure writes them. Parses none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now_text(*, ago: timedelta = timedelta(0)) -> str:
    """`2026-01-31T12:00:00.1234560Z`: UTC with seven digits, so that the texts sort by time."""
    return f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%S.%f}0Z"
