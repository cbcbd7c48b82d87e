"""The number functions of templates: arithmetic, comparison, conversion. `functions.py` owns the others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from containerapps_emulator.arm.templates.expressions import ExpressionError

Signature = tuple[int, int, Callable[..., Any]]
_ANY_NUMBER = 1000
_MAX_RANGE = 10_000


def integer(value: Any) -> int:
    """The value itself, which must be an integer and not a boolean."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _to_int(value: Any) -> int:
    return int(value) if isinstance(value, str) else integer(value)


def _to_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _compare(holds: Callable[[Any, Any], bool]) -> Signature:
    def apply(left: Any, right: Any) -> bool:
        if type(left) is not type(right) or not isinstance(left, int | str):
            raise TypeError
        return holds(left, right)

    return 2, 2, apply


def _arithmetic(operate: Callable[[int, int], int]) -> Signature:
    return 2, 2, lambda left, right: operate(integer(left), integer(right))


def _divide(left: int, right: int) -> int:
    """Round towards zero, as .NET does."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _extreme(choose: Callable[[Any], int]) -> Callable[..., int]:
    def apply(*values: Any) -> int:
        numbers = values[0] if isinstance(values[0], list) else values
        return choose([integer(number) for number in numbers])

    return apply


def _range(start: int, count: int) -> list[int]:
    if not 0 <= integer(count) <= _MAX_RANGE:
        raise ExpressionError(f"the count '{count}' must be between 0 and {_MAX_RANGE}.")
    return list(range(integer(start), start + count))


NUMBER_FUNCTIONS: dict[str, Signature] = {
    "add": _arithmetic(lambda left, right: left + right),
    "div": _arithmetic(_divide),
    "float": (1, 1, _to_float),
    "greater": _compare(lambda left, right: left > right),
    "greaterorequals": _compare(lambda left, right: left >= right),
    "int": (1, 1, _to_int),
    "less": _compare(lambda left, right: left < right),
    "lessorequals": _compare(lambda left, right: left <= right),
    "max": (1, _ANY_NUMBER, _extreme(max)),
    "min": (1, _ANY_NUMBER, _extreme(min)),
    "mod": _arithmetic(lambda left, right: left - right * _divide(left, right)),
    "mul": _arithmetic(lambda left, right: left * right),
    "range": (2, 2, _range),
    "sub": _arithmetic(lambda left, right: left - right),
}
