"""Checks the JSON types of what clients send before other code reads it, so that a wrong type is reported
by the name of its property. Does not restrict properties that are not in a shape."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

Shape = Any
"""A type or a tuple of types; a dict of shapes by property; or a list with the shape of every item."""

NAMES: Final = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def checked_properties(body: Json, shape: Shape) -> Json:
    """`properties` of a body, {} where it has none. Raises ArmError 400 InvalidRequestContent."""
    properties = body.get("properties")
    _check(properties, shape, "properties")
    return properties or {}


def settable(properties: Json | None, read_only: Collection[str]) -> Json:
    """The properties that a client sets: not null, and not read-only ones, which Azure ignores."""
    given = (properties or {}).items()
    return {name: value for name, value in given if value is not None and name not in read_only}


def _check(value: Any, shape: Shape, path: str) -> None:
    """Null is allowed everywhere: it means that the property is not set."""
    if value is None:
        return
    if isinstance(shape, dict):
        _expect(isinstance(value, dict), path, NAMES[dict])
        for name, inner in shape.items():
            _check(value.get(name), inner, f"{path}.{name}")
    elif isinstance(shape, list):
        _expect(isinstance(value, list) and None not in value, path, "a list without nulls")
        for number, item in enumerate(value):
            _check(item, shape[0], f"{path}[{number}]")
    else:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        is_kind = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        _expect(is_kind, path, " or ".join(NAMES[kind] for kind in kinds))


def _expect(true: bool, path: str, what: str) -> None:
    if not true:
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"The request content was invalid and could not be deserialized: '{path}' must be {what}.",
        )
