"""The shape of a deployment template: checked, nested resources lifted to the top. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from remora.localcloud.arm.expressions import ExpressionError
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.state import Json

_HEADINGS = ("$schema", "contentVersion", "apiProfile", "languageVersion", "definitions", "metadata")
_SECTIONS = frozenset((*_HEADINGS, "parameters", "variables", "resources", "outputs", "functions"))
_NOT_BODY = frozenset(
    ("type", "name", "apiVersion", "dependsOn", "condition", "comments", "resources", "metadata", "existing")
)
_UNSUPPORTED = ("copy", "scope", "resourceGroup", "subscriptionId")


@dataclass(frozen=True, slots=True)
class TemplateResource:
    """One resource as written, expressions and all. `body` is what will be PUT."""

    type: str
    name: str
    api_version: str
    condition: Any
    depends_on: tuple[str, ...]
    existing: bool
    symbol: str | None
    body: Json


@dataclass(frozen=True, slots=True)
class Template:
    """The sections of a template, as written."""

    parameters: Json
    variables: Json
    resources: tuple[TemplateResource, ...]
    outputs: Json


def load_template(raw: Any) -> Template:
    """Check the structure. Raises ArmError 400 InvalidTemplate."""
    if not isinstance(raw, dict):
        raise invalid_template("The template must be a JSON object.")
    unknown = [key for key in raw if key not in _SECTIONS]
    if unknown:
        raise invalid_template(f"Could not find member '{unknown[0]}' on object of type 'Template'.")
    if raw.get("functions"):
        raise invalid_template("User-defined functions are not supported by the local cloud.")
    try:
        return Template(
            parameters=_section(raw, "parameters"),
            variables=_section(raw, "variables"),
            resources=tuple(_resources(raw.get("resources"))),
            outputs=_section(raw, "outputs"),
        )
    except ExpressionError as error:
        raise invalid_template(str(error)) from None


def invalid_template(message: str, additional_info: Sequence[Json] = ()) -> ArmError:
    """The error of every template that cannot be deployed, in Azure's words."""
    text = f"Deployment template validation failed: '{message}'."
    return ArmError(400, "InvalidTemplate", text, additional_info=additional_info)


def _section(raw: Json, name: str) -> Json:
    value = raw.get(name) or {}
    if not isinstance(value, dict):
        raise ExpressionError(f"The template section '{name}' must be an object.")
    return value


def _resources(raw: Any) -> Iterator[TemplateResource]:
    """Both spellings: a list, or (languageVersion 2.0) an object of symbolic names."""
    match raw:
        case None:
            return
        case list():
            named: list[tuple[str | None, Any]] = [(None, item) for item in raw]
        case dict():
            named = list(raw.items())
        case _:
            raise ExpressionError("The template section 'resources' must be an array or an object.")
    for symbol, item in named:
        yield from _with_children(item, symbol)


def _with_children(raw: Any, symbol: str | None) -> Iterator[TemplateResource]:
    resource = _resource(raw, symbol)
    yield resource
    for child_raw in raw.get("resources") or ():
        for child in _with_children(child_raw, None):
            yield replace(
                child, type=f"{resource.type}/{child.type}", name=_joined_name(resource.name, child.name)
            )


def _joined_name(parent: str, child: str) -> str:
    """Names may be expressions, so the joined name is one too."""
    return f"[concat({_operand(parent)}, '/', {_operand(child)})]"


def _operand(text: str) -> str:
    if text.startswith("[") and text.endswith("]") and not text.startswith("[["):
        return text[1:-1]
    return "'" + text.replace("'", "''") + "'"


def _resource(raw: Any, symbol: str | None) -> TemplateResource:
    if not isinstance(raw, dict):
        raise ExpressionError("Every template resource must be an object.")
    for key in ("type", "name", "apiVersion"):
        if not isinstance(raw.get(key), str) or not raw[key]:
            raise ExpressionError(
                f"The template resource '{raw.get('name', '')}' of type '{raw.get('type', '')}' is not valid:"
                f" the '{key}' property is required and must be a string."
            )
    for key in _UNSUPPORTED:
        if key in raw:
            raise ExpressionError(
                f"The template resource '{raw['name']}' uses '{key}', which the local cloud does not support."
            )
    depends_on = raw.get("dependsOn") or []
    if not isinstance(depends_on, list) or not all(isinstance(item, str) for item in depends_on):
        raise ExpressionError(f"The 'dependsOn' of the resource '{raw['name']}' must be an array of strings.")
    return TemplateResource(
        type=raw["type"],
        name=raw["name"],
        api_version=raw["apiVersion"],
        condition=raw.get("condition", True),
        depends_on=tuple(depends_on),
        existing=raw.get("existing") is True,
        symbol=symbol,
        body={key: value for key, value in raw.items() if key not in _NOT_BODY},
    )
