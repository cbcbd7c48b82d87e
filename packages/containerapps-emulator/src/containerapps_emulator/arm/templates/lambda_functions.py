"""The template functions that take a lambda (a Python callable): one table. `functions.py` has the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from typing import Any

from containerapps_emulator.arm.templates.expressions import ExpressionError

Lambda = Callable[..., Any]


def _filter(items: list[Any], keep: Lambda) -> list[Any]:
    return [item for item, wanted in zip(items, _called(keep, items), strict=True) if _boolean(wanted)]


def _map(items: list[Any], change: Lambda) -> list[Any]:
    return _called(change, items)


def _called(function: Lambda, items: list[Any]) -> list[Any]:
    """One result per item; a lambda with two variables also gets the index."""
    if not isinstance(items, list):
        raise TypeError
    if _arity(function) == 2:
        return [function(item, index) for index, item in enumerate(items)]
    return [function(item) for item in items]


def _map_values(value: dict[str, Any], change: Lambda) -> dict[str, Any]:
    return {key: change(item) for key, item in value.items()}


def _sort(items: list[Any], before: Lambda) -> list[Any]:
    def compare(left: Any, right: Any) -> int:
        if _boolean(before(left, right)):
            return -1
        return 1 if _boolean(before(right, left)) else 0

    return sorted(items, key=cmp_to_key(compare))


def _reduce(items: list[Any], initial: Any, combine: Lambda) -> Any:
    result = initial
    for index, item in enumerate(items):
        result = combine(result, item, index) if _arity(combine) == 3 else combine(result, item)
    return result


def _to_object(items: list[Any], key: Lambda, value: Lambda | None = None) -> dict[str, Any]:
    return {_string(key(item)): item if value is None else value(item) for item in items}


def _group_by(items: list[Any], key: Lambda) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item in items:
        groups.setdefault(_string(key(item)), []).append(item)
    return groups


def _arity(function: Lambda) -> int:
    if not callable(function):
        raise TypeError
    return int(getattr(function, "arity", 1))


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError("the lambda must return a boolean.")
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ExpressionError("the lambda must return a string.")
    return value


LAMBDA_FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "filter": (2, 2, _filter),
    "groupby": (2, 2, _group_by),
    "map": (2, 2, _map),
    "mapvalues": (2, 2, _map_values),
    "reduce": (3, 3, _reduce),
    "sort": (2, 2, _sort),
    "toobject": (2, 3, _to_object),
}
