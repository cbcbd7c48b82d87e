"""The template functions that depend only on their arguments: one table, name → function.

The scope owns functions that use a deployment (parameters, reference, resourceGroup …). A name that is in
neither place is an error: nothing is ever passed through unevaluated.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from containerapps_emulator.arm.lenient_json import read
from containerapps_emulator.arm.templates.date_functions import DATE_FUNCTIONS
from containerapps_emulator.arm.templates.expressions import ExpressionError, NotDeployedYetError, type_name
from containerapps_emulator.arm.templates.lambda_functions import LAMBDA_FUNCTIONS
from containerapps_emulator.arm.templates.number_functions import NUMBER_FUNCTIONS, integer
from containerapps_emulator.arm.templates.unique_string import guid, unique_string

_ANY_NUMBER = 1000
_WORDS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Function:
    """The allowed number of arguments, and the implementation."""

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
            f"Unable to evaluate template language function '{name}': it does not take"
            f" '{len(arguments)}' arguments."
        )
    if name not in LAMBDA_FUNCTIONS and any(callable(argument) for argument in arguments):
        raise ExpressionError(f"The template function '{name}' does not take a lambda.")
    try:
        return function.apply(*arguments)
    except NotDeployedYetError:
        raise
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
    end = len(text) if length is None else integer(start) + integer(length)
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


def _to_bool(value: Any) -> bool:
    if isinstance(value, str):
        return _WORDS[value.lower()]
    return value != 0 if isinstance(value, bool | int) else _boolean(value)


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _index(value: Any, wanted: Any) -> int:
    if isinstance(value, list):
        return next((index for index, item in enumerate(value) if _equals(item, wanted)), -1)
    return _string(value).lower().find(_string(wanted).lower())


def _last_index(value: Any, wanted: Any) -> int:
    if isinstance(value, list):
        backwards = _index(value[::-1], wanted)
        return -1 if backwards < 0 else len(value) - 1 - backwards
    return _string(value).lower().rfind(_string(wanted).lower())


def _from_end(items: list[Any], index: int) -> Any:
    if not 1 <= integer(index) <= len(items):
        raise ExpressionError(f"the index '{index}' from the end is outside of '{len(items)}' item(s).")
    return items[-index]


def _try_from_end(items: list[Any], index: int) -> Any:
    return items[-index] if 1 <= integer(index) <= len(items) else None


def _shallow_merge(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: item for value in objects for key, item in value.items()}


def _data_uri(text: str) -> str:
    encoded = base64.b64encode(_string(text).encode()).decode()
    return f"data:text/plain;charset=utf8;base64,{encoded}"


def _data_uri_to_string(uri: str) -> str:
    heading, comma, data = _string(uri).partition(",")
    if not comma or not heading.startswith("data:"):
        raise ExpressionError(f"'{uri}' is not a data URI.")
    return _decode64(data) if heading.endswith(";base64") else urllib.parse.unquote(data)


def _fail(message: str) -> None:
    raise ExpressionError(_string(message))


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
        in_array = isinstance(value, list) and 0 <= integer(key) < len(value)
        if not (in_object or in_array):
            return None
        value = value[key]
    return value


def _pad_left(text: Any, width: int, character: str = " ") -> str:
    if integer(width) > 16:
        raise ExpressionError(f"the width '{width}' must not be greater than 16.")
    return to_text(text).rjust(width, _string(character))


def _decode64(text: str) -> str:
    return base64.b64decode(_string(text), validate=True).decode()


def _text(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that requires all its arguments to be strings."""
    return lambda *values: function(*_strings(values))


_OTHERS = NUMBER_FUNCTIONS | DATE_FUNCTIONS | LAMBDA_FUNCTIONS
FUNCTIONS: dict[str, Function] = {
    "and": Function(2, _ANY_NUMBER, lambda *values: all(_booleans(values))),
    "array": Function(1, 1, lambda value: value if isinstance(value, list) else [value]),
    "base64": Function(1, 1, lambda text: base64.b64encode(_string(text).encode()).decode()),
    "base64tojson": Function(1, 1, lambda text: read(_decode64(text).encode())),
    "base64tostring": Function(1, 1, _decode64),
    "bool": Function(1, 1, _to_bool),
    "coalesce": Function(1, _ANY_NUMBER, _coalesce),
    "concat": Function(1, _ANY_NUMBER, _concat),
    "contains": Function(2, 2, _contains),
    "createarray": Function(0, _ANY_NUMBER, lambda *values: list(values)),
    "createobject": Function(0, _ANY_NUMBER, _create_object),
    "datauri": Function(1, 1, _data_uri),
    "datauritostring": Function(1, 1, _data_uri_to_string),
    "empty": Function(1, 1, _empty),
    "endswith": Function(2, 2, _text(lambda text, end: text.lower().endswith(end.lower()))),
    "equals": Function(2, 2, _equals),
    "fail": Function(1, 1, _fail),
    "false": Function(0, 0, lambda: False),
    "first": Function(1, 1, _first),
    "flatten": Function(1, 1, _flatten),
    "format": Function(1, _ANY_NUMBER, _format),
    "guid": Function(1, _ANY_NUMBER, lambda *parts: guid(_strings(parts))),
    "indexfromend": Function(2, 2, _from_end),
    "indexof": Function(2, 2, _index),
    "intersection": Function(2, _ANY_NUMBER, _intersection),
    "items": Function(1, 1, _items),
    "join": Function(2, 2, _join),
    "json": Function(1, 1, lambda text: read(_string(text).encode())),
    "last": Function(1, 1, _last),
    "lastindexof": Function(2, 2, _last_index),
    "length": Function(1, 1, len),
    "not": Function(1, 1, lambda value: not _boolean(value)),
    "null": Function(0, 0, lambda: None),
    "objectkeys": Function(1, 1, lambda value: sorted(value.keys(), key=str.lower)),
    "or": Function(2, _ANY_NUMBER, lambda *values: any(_booleans(values))),
    "padleft": Function(2, 3, _pad_left),
    "replace": Function(3, 3, _text(lambda text, old, new: text.replace(old, new))),
    "shallowmerge": Function(1, 1, _shallow_merge),
    "skip": Function(2, 2, lambda value, count: value[max(0, integer(count)) :]),
    "split": Function(2, 2, _split),
    "startswith": Function(2, 2, _text(lambda text, start: text.lower().startswith(start.lower()))),
    "string": Function(1, 1, to_text),
    "substring": Function(2, 3, _substring),
    "take": Function(2, 2, lambda value, count: value[: max(0, integer(count))]),
    "tolower": Function(1, 1, _text(str.lower)),
    "toupper": Function(1, 1, _text(str.upper)),
    "trim": Function(1, 1, _text(str.strip)),
    "true": Function(0, 0, lambda: True),
    "tryget": Function(2, _ANY_NUMBER, _try_get),
    "tryindexfromend": Function(2, 2, _try_from_end),
    "union": Function(1, _ANY_NUMBER, _union),
    "uniquestring": Function(1, _ANY_NUMBER, lambda *parts: unique_string(_strings(parts))),
    "uri": Function(2, 2, _text(urllib.parse.urljoin)),
    "uricomponent": Function(1, 1, _text(lambda text: urllib.parse.quote(text, safe="-_.!~*'()"))),
    "uricomponenttostring": Function(1, 1, _text(urllib.parse.unquote)),
    **{name: Function(*signature) for name, signature in _OTHERS.items()},
}
