"""Timestamps as Azure writes them, and who made a resource. Parses none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from containerapps_emulator.state import Json

USER: Final = "local"


def now_text(*, ago: timedelta = timedelta(0)) -> str:
    """`2026-01-31T12:00:00.1234560Z`: UTC with seven digits, so that the texts sort by time."""
    return f"{datetime.now(UTC) - ago:%Y-%m-%dT%H:%M:%S.%f}0Z"


def system_data(existing: Json | None) -> Json:
    """Who made a resource and when; there is one user here."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    former = (existing or {}).get("systemData") or {}
    return {
        "createdBy": former.get("createdBy", USER),
        "createdByType": "User",
        "createdAt": former.get("createdAt", now),
        "lastModifiedBy": USER,
        "lastModifiedByType": "User",
        "lastModifiedAt": now,
    }
