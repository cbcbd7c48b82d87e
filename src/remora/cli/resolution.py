"""How a provisioning was resolved: each value, where it is from, and whether it is used or created."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from remora.azure.provisioning.named import NamedResource
from remora.project.toolkit.resolved import Resolved

Row = dict[str, Any]

_LONGEST = 48  # characters of a value; commands can be long
_DEFAULT = "the template's default"
_COLUMNS = ("name", "value", "action")


def resolution_rows(
    resolved: Sequence[Resolved], named: Sequence[NamedResource], location: str | None
) -> list[Row]:
    """One row for each value: `action` is use or create for a resource's name, else null.

    If no cloud was asked, or the group does not exist yet, `named` is empty and default names are unknown.
    """
    by_parameter = {item.parameter: item for item in named}
    rows = [_row(item, by_parameter.pop(item.name, None), location) for item in resolved]
    return rows + [
        _row(Resolved(name, None, _DEFAULT), item, location) for name, item in by_parameter.items()
    ]


def resolution_text(rows: Sequence[Row]) -> str:
    """The rows as a table."""
    widths = [max(len(_shown(row, key)) for row in rows) for key in _COLUMNS]
    lines = []
    for row in rows:
        cells = (_shown(row, key).ljust(width) for key, width in zip(_COLUMNS, widths, strict=True))
        lines.append(f"  {'  '.join(cells)}  {row['origin']}")
    return "\n".join(lines)


def _row(item: Resolved, named: NamedResource | None, location: str | None) -> Row:
    value = item.value if item.value is not None else named.name if named else None
    if item.name == "location" and value is None:
        value = location
    action = None
    if named is not None:
        action = "use" if named.exists else "create"
    return {"name": item.name, "value": value, "origin": item.origin, "action": action}


def _shown(row: Row, key: str) -> str:
    value = row[key]
    if value is None:
        return "" if key == "action" else "-"
    text = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
