"""The parameters of a deployment: checks the given values against the template's declarations.

A null value means that the parameter is not given, as on Azure. Never echoes secure values.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

from containerapps_emulator.arm.lenient_json import Position
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.templates.expressions import ExpressionError, type_name
from containerapps_emulator.arm.templates.template import invalid_template
from containerapps_emulator.state import Json

TYPES: dict[str, tuple[str, type]] = {
    "string": ("String", str),
    "securestring": ("SecureString", str),
    "int": ("Int", int),
    "bool": ("Bool", bool),
    "array": ("Array", list),
    "object": ("Object", dict),
    "secureobject": ("SecureObject", dict),
}
_LIMITS = ("minValue", "maxValue", "minLength", "maxLength")


def given_values(definitions: Json, given: Any) -> Json:
    """The values that the request supplies, without nulls, keyed by the template's spelling."""
    if not isinstance(given or {}, dict):
        raise invalid_template("The deployment 'parameters' must be an object")
    spelled = {name.lower(): name for name in definitions}
    values: Json = {}
    for name, entry in (given or {}).items():
        if name.lower() not in spelled:
            raise invalid_template(
                "The following parameters were supplied, but do not correspond to any parameters defined in"
                f" the template: '{name}'. The parameters defined in the template are:"
                f" '{', '.join(definitions)}'. Please see https://aka.ms/arm-pass-parameter-values for usage"
                " details."
            )
        value = _given_value(name, entry)
        if value is not None:
            values[spelled[name.lower()]] = value
    return values


def default_values(definitions: Json) -> Json:
    """The default expressions of the parameters that have one; a nullable parameter's default is null."""
    defaults: Json = {}
    for name, definition in definitions.items():
        if not isinstance(definition, dict) or str(definition.get("type", "")).lower() not in TYPES:
            kind = definition.get("type") if isinstance(definition, dict) else definition
            raise invalid_template(
                f"The template parameter '{name}' has the type '{kind}'; expected one of '{', '.join(TYPES)}'"
            )
        _check_definition(name, definition)
        if "defaultValue" in definition:
            defaults[name] = definition["defaultValue"]
        elif definition.get("nullable") is True:
            defaults[name] = None
    return defaults


def bind(
    definitions: Json, lookup: Callable[[str], Any], known: Set[str], locate: Callable[[str], Position | None]
) -> Json:
    """The final value of every parameter. `known` are the names that have one; `lookup` evaluates it."""
    bound: Json = {}
    for name, definition in definitions.items():
        if name not in known:
            raise _missing(name, locate(name))
        value = lookup(name)
        if not (value is None and definition.get("nullable") is True):
            _check(name, definition, value)
        bound[name] = value
    return bound


def echo(definitions: Json, values: Json) -> Json:
    """`parameters` as a deployment shows them: with types, and without the values of secure ones."""
    shown: Json = {}
    for name, value in values.items():
        shown[name] = typed_value(definitions[name]["type"], value)
    return shown


def typed_value(declared: str, value: Any) -> Json:
    """`{"type": "String", "value": …}`, without the value if the type is secure."""
    shown = TYPES[declared.lower()][0]
    return {"type": shown} if shown.startswith("Secure") else {"type": shown, "value": value}


def _check_definition(name: str, definition: Json) -> None:
    allowed = definition.get("allowedValues")
    if allowed is not None and not isinstance(allowed, list):
        raise invalid_template(f"The 'allowedValues' of the template parameter '{name}' must be an array")
    for limit in _LIMITS:
        if not isinstance(definition.get(limit, 0), int | None):
            raise invalid_template(f"The '{limit}' of the template parameter '{name}' must be an integer")


def _given_value(name: str, entry: Any) -> Any:
    if not isinstance(entry, dict) or not entry.keys() <= {"value", "reference", "metadata"}:
        raise invalid_template(
            f"The value of deployment parameter '{name}' is null or not an object with 'value'. Please see"
            " https://aka.ms/arm-create-parameter-file for usage details."
        )
    if entry.get("reference") is not None:  # azd sends null beside each value
        raise invalid_template(f"The Key Vault reference of parameter '{name}' is not supported here")
    return entry.get("value")


def _missing(name: str, position: Position | None) -> ArmError:
    at = position or Position(1, 1)
    path = f"properties.template.parameters.{name}"
    info = {"lineNumber": at.line, "linePosition": at.column, "path": path}
    return invalid_template(
        f"The value for the template parameter '{name}' at line '{at.line}' and column '{at.column}' is not"
        " provided. Please see https://aka.ms/arm-create-parameter-file for usage details.",
        [{"type": "TemplateViolation", "info": info}],
    )


def _check(name: str, definition: Json, value: Any) -> None:
    shown, wanted = TYPES[definition["type"].lower()]
    if type(value) is not wanted:
        raise invalid_template(
            f"The provided value for the template parameter '{name}' is not valid. Expected a value of type"
            f" '{shown}', but received a value of type '{type_name(value)}'. Please see"
            " https://aka.ms/arm-create-parameter-file for usage details."
        )
    allowed = definition.get("allowedValues")
    if allowed is not None and value not in allowed:
        told = "***" if shown.startswith("Secure") else value
        raise invalid_template(
            f"The provided value '{told}' for the template parameter '{name}' is not valid. The value"
            f" '{told}' is not part of the allowed value(s): '{','.join(map(str, allowed))}'."
        )
    if isinstance(value, str | list):
        _check_bounds(name, definition, "length", len(value))
    elif isinstance(value, int) and wanted is int:
        _check_bounds(name, definition, "value", value)


def _check_bounds(name: str, definition: Json, kind: str, size: int) -> None:
    suffix = kind.capitalize()
    fewest, most = definition.get(f"min{suffix}"), definition.get(f"max{suffix}")
    if (fewest is not None and size < fewest) or (most is not None and size > most):
        raise invalid_template(
            f"The provided value for the template parameter '{name}' is not valid. Its {kind} '{size}' must"
            f" be between '{fewest}' and '{most}'"
        )


def require_output_type(name: str, declared: Any, value: Any) -> str:
    """The declared type of an output, checked. Raises ExpressionError."""
    known = TYPES.get(str(declared).lower())
    if known is None:
        raise ExpressionError(f"The template output '{name}' has the unknown type '{declared}'.")
    if type(value) is not known[1]:
        raise ExpressionError(
            f"The template output '{name}' is not valid: expected a value of type '{known[0]}', but received"
            f" a value of type '{type_name(value)}'."
        )
    return str(declared)
