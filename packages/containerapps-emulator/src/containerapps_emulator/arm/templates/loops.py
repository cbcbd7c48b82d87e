"""Copy loops: `copy` on a resource, an output or a variable, and inside properties. Evaluates nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from containerapps_emulator.arm.templates.expressions import ExpressionError
from containerapps_emulator.state import Json

MAX_COUNT = 800


@dataclass(frozen=True, slots=True)
class Loop:
    """`count` can be an expression. `batch` is how many run at once; None means all."""

    name: str
    count: Any
    input: Any = None
    batch: Any = None


def resource_loop(raw: Json, where: str) -> Loop:
    """The `copy` of a resource: it has a name and can run in batches."""
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str) or "count" not in raw:
        raise ExpressionError(f"The 'copy' of {where} must be an object with 'name' and 'count'.")
    serial = str(raw.get("mode", "parallel")).lower() == "serial"
    return Loop(raw["name"], raw["count"], batch=raw.get("batchSize", 1) if serial else None)


def output_loop(raw: Json, where: str) -> Loop:
    """The `copy` of an output: it has no name."""
    if not isinstance(raw, dict) or "count" not in raw or "input" not in raw:
        raise ExpressionError(f"The 'copy' of {where} must be an object with 'count' and 'input'.")
    return Loop("", raw["count"], raw["input"])


def value_loops(raw: Any) -> list[Loop] | None:
    """The loops of a `copy` inside an object; None if `copy` is only a property with that name."""
    if not isinstance(raw, list) or not raw:
        return None
    if not all(isinstance(item, dict) and {"name", "count", "input"} <= item.keys() for item in raw):
        return None
    if not all(isinstance(item["name"], str) for item in raw):
        raise ExpressionError("The 'name' of every 'copy' inside an object must be a string.")
    return [Loop(item["name"], item["count"], item["input"]) for item in raw]


def checked_count(value: Any, where: str) -> int:
    """The number of iterations of a loop. Raises ExpressionError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
        raise ExpressionError(
            f"The template copy definition of {where} has the count '{value}'; it must be an integer between"
            f" '0' and '{MAX_COUNT}'. Please see https://aka.ms/arm-copy for usage details."
        )
    return value
