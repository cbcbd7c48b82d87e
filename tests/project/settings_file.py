"""Settings changed in a project's remora.toml, as an editor would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from remora.project.settings import SETTINGS_FILE, changed_settings


def update_settings(root: Path, changes: Mapping[str, str | int | None]) -> None:
    (root / SETTINGS_FILE).write_text(changed_settings(root, changes), encoding="utf-8")
