"""Compares two documents in terms of what-if: paths and property change types. Knows no resources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from containerapps_emulator.state import Json


def differences(before: Json, after: Json, path: str = "") -> list[Json]:
    """One entry per property that differs; properties inside objects have dotted paths."""
    return list(_of_objects(before, after, path))


def _of_objects(before: Json, after: Json, path: str) -> Iterator[Json]:
    for key in (*before, *(key for key in after if key not in before)):
        where = f"{path}.{key}" if path else key
        if key not in after:
            yield {"path": where, "propertyChangeType": "Delete", "before": before[key]}
        elif key not in before:
            yield {"path": where, "propertyChangeType": "Create", "after": after[key]}
        else:
            yield from _of_values(before[key], after[key], where)


def _of_values(before: Any, after: Any, path: str) -> Iterator[Json]:
    if type(before) is type(after) and before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield {"path": path, "propertyChangeType": "Array", "children": list(_of_items(before, after))}
    else:
        yield {"path": path, "propertyChangeType": "Modify", "before": before, "after": after}


def _of_items(before: list[Any], after: list[Any]) -> Iterator[Json]:
    """Compare items by index, which is also their path."""
    for index, (former, latter) in enumerate(zip(before, after, strict=False)):
        if isinstance(former, dict) and isinstance(latter, dict):
            inside = differences(former, latter)
            if inside:
                yield {"path": str(index), "propertyChangeType": "Modify", "children": inside}
        else:
            yield from _of_values(former, latter, str(index))
    for index in range(len(after), len(before)):
        yield {"path": str(index), "propertyChangeType": "Delete", "before": before[index]}
    for index in range(len(before), len(after)):
        yield {"path": str(index), "propertyChangeType": "Create", "after": after[index]}
