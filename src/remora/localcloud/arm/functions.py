"""The template functions that depend on nothing but their arguments: one table, name → function.

Functions that look at a deployment (parameters, reference, resourceGroup …) are the scope's. A name that
is in neither place is an error: nothing is ever passed through unevaluated.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from remora.localcloud.arm.expressions import ExpressionError, type_name
from remora.localcloud.arm.unique_string import guid, unique_string

_ANY_NUMBER = 1000
_WORDS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Function:
    """How many arguments, and what to do with them."""

    fewest: int
    most: int
    apply: Callable[..., Any]


def call_function(name: str, arguments: list[Any]) -> Any:
    """The value of a pure function; `name` is lower-case. Raises ExpressionError."""
    function = FUNCTIONS.get(name)
    if function is None:
        raise ExpressionError(
            f"The template function '{name}' is not valid or not supported by the local cloud."
            " Please see https://aka.ms/arm-functions for usage details."
        )
    if not function.fewest <= len(arguments) <= function.most:
        raise ExpressionError(
            f"Unable to evaluate template language function '{name}': the number of arguments is"
            f" '{len(arguments)}', which it does not take."
        )
    try:
        return function.apply(*arguments)
    except ExpressionError as error:
        raise ExpressionError(f"Unable to evaluate template language function '{name}': {error}") from None
    except (TypeError, ValueError, LookupError, AttributeError, ZeroDivisionError, OverflowError):
        types = ", ".join(type_name(argument) for argument in arguments)
        raise ExpressionError(
            f"Unable to evaluate template language function '{name}': the provided arguments of type"
            f" '{types}' are not valid."
        ) from None


def to_text(value: Any) -> str:
    """`string()`: compact JSON for arrays and objects, `True` and `False` for booleans."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value)
    if value is None:
        return ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _strings(values: tuple[Any, ...]) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise TypeError
    return list(values)


def _string(value: Any) -> str:
    return _strings((value,))[0]


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _booleans(values: tuple[Any, ...]) -> list[bool]:
    return [_boolean(value) for value in values]


def _concat(*values: Any) -> Any:
    if values and all(isinstance(value, list) for value in values):
        return [item for value in values for item in value]
    if any(isinstance(value, list | dict) for value in values):
        raise TypeError
    return "".join(to_text(value) for value in values)


def _format(text: str, *values: Any) -> str:
    """.NET's composite format, without alignment and number formats."""

    def replace(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        if match[1] is None:
            raise ExpressionError(f"the format '{text}' is not supported.")
        if int(match[1]) >= len(values):
            raise ExpressionError(f"the format '{text}' refers to more values than the {len(values)} given.")
        return to_text(values[int(match[1])])

    return re.sub(r"\{\{|\}\}|\{(\d+)\}|[{}]", replace, _string(text))


def _substring(text: str, start: int, length: int | None = None) -> str:
    end = len(text) if length is None else _integer(start) + _integer(length)
    if start < 0 or end < start or end > len(text):
        raise ExpressionError(
            "the index and length parameters must refer to a location within the string. The index"
            f" parameter: '{start}', the length parameter: '{length}', the length of the string:"
            f" '{len(text)}'."
        )
    return _string(text)[start:end]


def _split(text: str, delimiters: Any) -> list[str]:
    marks = _strings(tuple(delimiters)) if isinstance(delimiters, list) else [_string(delimiters)]
    return re.split("|".join(re.escape(mark) for mark in marks), _string(text))


def _join(items: list[Any], delimiter: str) -> str:
    if not isinstance(items, list):
        raise TypeError
    return _string(delimiter).join(to_text(item) for item in items)


def _contains(container: Any, wanted: Any) -> bool:
    if isinstance(container, dict):
        return _string(wanted).lower() in (key.lower() for key in container)
    if isinstance(container, list):
        return any(_equals(item, wanted) for item in container)
    return to_text(wanted) in _string(container)


def _equals(left: Any, right: Any) -> bool:
    return bool(type(left) is type(right) and left == right)


def _empty(value: Any) -> bool:
    if isinstance(value, bool | int | float):
        raise TypeError
    return not value


def _union(*values: Any) -> Any:
    if all(isinstance(value, list) for value in values):
        merged: list[Any] = []
        for value in values:
            merged.extend(item for item in value if item not in merged)
        return merged
    return _merge_objects(*values)


def _merge_objects(*values: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for value in values:
        for key, item in value.items():
            both = isinstance(item, dict) and isinstance(merged.get(key), dict)
            merged[key] = _merge_objects(merged[key], item) if both else item
    return merged


def _intersection(first: Any, *others: Any) -> Any:
    if isinstance(first, list):
        return [item for item in first if all(item in other for other in others)]
    return {key: item for key, item in first.items() if all(other.get(key) == item for other in others)}


def _create_object(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise ExpressionError("the number of arguments must be even: names and values.")
    return {_string(name): value for name, value in zip(pairs[::2], pairs[1::2], strict=True)}


def _to_int(value: Any) -> int:
    return int(value) if isinstance(value, str) else _integer(value)


def _to_bool(value: Any) -> bool:
    if isinstance(value, str):
        return _WORDS[value.lower()]
    return value != 0 if isinstance(value, bool | int) else _boolean(value)


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _compare(holds: Callable[[Any, Any], bool]) -> Function:
    def apply(left: Any, right: Any) -> bool:
        if type(left) is not type(right) or not isinstance(left, int | str):
            raise TypeError
        return holds(left, right)

    return Function(2, 2, apply)


def _arithmetic(operate: Callable[[int, int], int]) -> Function:
    return Function(2, 2, lambda left, right: operate(_integer(left), _integer(right)))


def _divide(left: int, right: int) -> int:
    """Towards zero, as .NET."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _extreme(choose: Callable[[Any], int]) -> Callable[..., int]:
    def apply(*values: Any) -> int:
        numbers = values[0] if isinstance(values[0], list) else values
        return choose([_integer(number) for number in numbers])

    return apply


def _range(start: int, count: int) -> list[int]:
    if not 0 <= _integer(count) <= 10_000:
        raise ExpressionError(f"the count '{count}' must be between 0 and 10000.")
    return list(range(_integer(start), start + count))


def _first(value: Any) -> Any:
    return value[0] if value else ("" if isinstance(value, str) else None)


def _last(value: Any) -> Any:
    return value[-1] if value else ("" if isinstance(value, str) else None)


def _flatten(items: list[list[Any]]) -> list[Any]:
    return [item for inner in items for item in inner]


def _items(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value[key]} for key in sorted(value, key=str.lower)]


def _try_get(value: Any, *keys: Any) -> Any:
    for key in keys:
        in_object = isinstance(value, dict) and key in value
        in_array = isinstance(value, list) and 0 <= _integer(key) < len(value)
        if not (in_object or in_array):
            return None
        value = value[key]
    return value


def _pad_left(text: Any, width: int, character: str = " ") -> str:
    if _integer(width) > 16:
        raise ExpressionError(f"the width '{width}' must not be greater than 16.")
    return to_text(text).rjust(width, _string(character))


def _decode64(text: str) -> str:
    return base64.b64decode(_string(text), validate=True).decode()


def _text(function: Callable[..., Any]) -> Callable[..., Any]:
    """Only strings may be given."""
    return lambda *values: function(*_strings(values))


FUNCTIONS: dict[str, Function] = {
    "add": _arithmetic(lambda left, right: left + right),
    "and": Function(2, _ANY_NUMBER, lambda *values: all(_booleans(values))),
    "array": Function(1, 1, lambda value: value if isinstance(value, list) else [value]),
    "base64": Function(1, 1, lambda text: base64.b64encode(_string(text).encode()).decode()),
    "base64tostring": Function(1, 1, _decode64),
    "bool": Function(1, 1, _to_bool),
    "coalesce": Function(1, _ANY_NUMBER, _coalesce),
    "concat": Function(1, _ANY_NUMBER, _concat),
    "contains": Function(2, 2, _contains),
    "createarray": Function(0, _ANY_NUMBER, lambda *values: list(values)),
    "createobject": Function(0, _ANY_NUMBER, _create_object),
    "div": _arithmetic(_divide),
    "empty": Function(1, 1, _empty),
    "endswith": Function(2, 2, _text(lambda text, end: text.lower().endswith(end.lower()))),
    "equals": Function(2, 2, _equals),
    "false": Function(0, 0, lambda: False),
    "first": Function(1, 1, _first),
    "flatten": Function(1, 1, _flatten),
    "format": Function(1, _ANY_NUMBER, _format),
    "greater": _compare(lambda left, right: left > right),
    "greaterorequals": _compare(lambda left, right: left >= right),
    "guid": Function(1, _ANY_NUMBER, lambda *parts: guid(_strings(parts))),
    "indexof": Function(2, 2, _text(lambda text, part: text.lower().find(part.lower()))),
    "int": Function(1, 1, _to_int),
    "intersection": Function(2, _ANY_NUMBER, _intersection),
    "items": Function(1, 1, _items),
    "join": Function(2, 2, _join),
    "json": Function(1, 1, lambda text: json.loads(_string(text))),
    "last": Function(1, 1, _last),
    "lastindexof": Function(2, 2, _text(lambda text, part: text.lower().rfind(part.lower()))),
    "length": Function(1, 1, len),
    "less": _compare(lambda left, right: left < right),
    "lessorequals": _compare(lambda left, right: left <= right),
    "max": Function(1, _ANY_NUMBER, _extreme(max)),
    "min": Function(1, _ANY_NUMBER, _extreme(min)),
    "mod": _arithmetic(lambda left, right: left - right * _divide(left, right)),
    "mul": _arithmetic(lambda left, right: left * right),
    "not": Function(1, 1, lambda value: not _boolean(value)),
    "null": Function(0, 0, lambda: None),
    "objectkeys": Function(1, 1, lambda value: sorted(value.keys(), key=str.lower)),
    "or": Function(2, _ANY_NUMBER, lambda *values: any(_booleans(values))),
    "padleft": Function(2, 3, _pad_left),
    "range": Function(2, 2, _range),
    "replace": Function(3, 3, _text(lambda text, old, new: text.replace(old, new))),
    "skip": Function(2, 2, lambda value, count: value[max(0, _integer(count)) :]),
    "split": Function(2, 2, _split),
    "startswith": Function(2, 2, _text(lambda text, start: text.lower().startswith(start.lower()))),
    "string": Function(1, 1, to_text),
    "sub": _arithmetic(lambda left, right: left - right),
    "substring": Function(2, 3, _substring),
    "take": Function(2, 2, lambda value, count: value[: max(0, _integer(count))]),
    "tolower": Function(1, 1, _text(str.lower)),
    "toupper": Function(1, 1, _text(str.upper)),
    "trim": Function(1, 1, _text(str.strip)),
    "true": Function(0, 0, lambda: True),
    "tryget": Function(2, _ANY_NUMBER, _try_get),
    "union": Function(1, _ANY_NUMBER, _union),
    "uniquestring": Function(1, _ANY_NUMBER, lambda *parts: unique_string(_strings(parts))),
    "uri": Function(2, 2, _text(urllib.parse.urljoin)),
    "uricomponent": Function(1, 1, _text(lambda text: urllib.parse.quote(text, safe="-_.!~*'()"))),
}
