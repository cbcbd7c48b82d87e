"""The structure of a template: checks it and moves nested resources to the top level. Evaluates nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from containerapps_emulator.arm.resources.built_in import DEPLOYMENT, ROLE_ASSIGNMENT
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.templates.expressions import ExpressionError
from containerapps_emulator.arm.templates.loops import Loop, resource_loop
from containerapps_emulator.state import Json

_HEADINGS = ("$schema", "contentVersion", "apiProfile", "languageVersion", "definitions", "metadata")
_SECTIONS = frozenset((*_HEADINGS, "parameters", "variables", "resources", "outputs", "functions"))
_NOT_BODY = frozenset(
    (
        *("type", "name", "apiVersion", "dependsOn", "condition", "comments", "resources", "metadata"),
        *("existing", "copy", "resourceGroup", "subscriptionId", "scope"),
    )
)
_ELSEWHERE = ("resourceGroup", "subscriptionId")


@dataclass(frozen=True, slots=True)
class TemplateResource:
    """One resource as written, with its expressions. `body` is the body of the PUT.

    `group` and `subscription` are set if a nested deployment or an existing resource is in another one,
    `extends` if it is a role assignment on another resource: that one's id, or its type and name.
    """

    type: str
    name: str
    api_version: str
    condition: Any
    depends_on: tuple[str, ...]
    existing: bool
    symbol: str | None
    loop: Loop | None
    group: str | None
    subscription: str | None
    extends: str | None
    body: Json


@dataclass(frozen=True, slots=True)
class Template:
    """The sections of a template, as written; `functions` by `namespace.name`, lower-case."""

    parameters: Json
    variables: Json
    functions: Json
    resources: tuple[TemplateResource, ...]
    outputs: Json


_LIMITS = {
    "parameters": (256, "parameters"),
    "variables": (256, "variables"),
    "resources": (800, "resources"),
    "outputs": (64, "output parameters"),
}
"""How many items each section may have, and how Azure calls them."""


def load_template(raw: Any) -> Template:
    """Check the structure. Raises ArmError 400 InvalidTemplate."""
    if not isinstance(raw, dict):
        raise invalid_template("The template must be a JSON object.")
    unknown = [key for key in raw if key not in _SECTIONS]
    if unknown:
        raise invalid_template(f"Could not find member '{unknown[0]}' on object of type 'Template'.")
    for section, (limit, named) in _LIMITS.items():
        count = len(raw[section]) if isinstance(raw.get(section), dict | list) else 0
        if count > limit:
            raise invalid_template(
                f"The number of template {named} limit exceeded. Limit: {limit} and actual: {count}. Please"
                f" see https://aka.ms/arm-template/#{section} for usage details."
            )
    try:
        return Template(
            parameters=_resolved(_section(raw, "parameters"), _section(raw, "definitions")),
            variables=_section(raw, "variables"),
            functions=_functions(raw.get("functions")),
            resources=tuple(_resources(raw.get("resources"))),
            outputs=_resolved(_section(raw, "outputs"), _section(raw, "definitions")),
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


def _resolved(declared: Json, definitions: Json) -> Json:
    """Parameters and outputs with `$ref` replaced by its definition; their own keys take precedence."""
    return {name: _with_type(name, item, definitions) for name, item in declared.items()}


def _with_type(name: str, item: Any, definitions: Json) -> Any:
    seen: set[str] = set()
    while isinstance(item, dict) and "$ref" in item:
        reference = str(item["$ref"])
        definition = definitions.get(reference.removeprefix("#/definitions/"))
        if not isinstance(definition, dict) or reference in seen:
            raise ExpressionError(f"The definition '{reference}' of '{name}' could not be found.")
        seen.add(reference)
        own = {key: value for key, value in item.items() if key != "$ref"}
        item = {**definition, **own}
    return item


def _functions(raw: Any) -> Json:
    """User-defined functions: `[{"namespace": …, "members": {name: {parameters, output}}}]`."""
    found: Json = {}
    if not isinstance(raw or [], list):
        raise ExpressionError("The template section 'functions' must be an array.")
    for space in raw or ():
        if not isinstance(space, dict) or not isinstance(space.get("members"), dict):
            raise ExpressionError("Every item of the template section 'functions' must have 'members'.")
        for name, function in space["members"].items():
            if not isinstance(function, dict) or not isinstance(function.get("output"), dict):
                raise ExpressionError(f"The template function '{name}' must have an 'output'.")
            _check_names(name, function.get("parameters"))
            found[f"{space.get('namespace')}.{name}".lower()] = function
    return found


def _check_names(function: str, parameters: Any) -> None:
    listed = parameters or []
    if not isinstance(listed, list) or not all(
        isinstance(item, dict) and isinstance(item.get("name"), str) for item in listed
    ):
        raise ExpressionError(f"The parameters of the template function '{function}' must have names.")


def _resources(raw: Any) -> Iterator[TemplateResource]:
    """Read either form: a list, or (languageVersion 2.0) an object of symbolic names."""
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
    children = raw.get("resources") or []
    if not isinstance(children, list):
        raise ExpressionError(f"The child resources of the resource '{resource.name}' must be an array.")
    if children and resource.loop is not None:
        raise ExpressionError(
            f"The template resource '{resource.name}' has both 'copy' and child resources, which a template"
            " cannot repeat. Please see https://aka.ms/arm-copy for usage details."
        )
    for child_raw in children:
        for child in _with_children(child_raw, None):
            yield replace(
                child, type=f"{resource.type}/{child.type}", name=_joined_name(resource.name, child.name)
            )


def _joined_name(parent: str, child: str) -> str:
    """Names can be expressions, so the joined name is an expression."""
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
    existing = raw.get("existing") is True
    _refuse_elsewhere(raw, existing=existing)
    depends_on = raw.get("dependsOn") or []
    if not isinstance(depends_on, list) or not all(isinstance(item, str) for item in depends_on):
        raise ExpressionError(f"The 'dependsOn' of the resource '{raw['name']}' must be an array of strings.")
    return TemplateResource(
        type=raw["type"],
        name=raw["name"],
        api_version=raw["apiVersion"],
        condition=raw.get("condition", True),
        depends_on=tuple(depends_on),
        existing=existing,
        symbol=symbol,
        loop=resource_loop(raw["copy"], f"resource '{raw['name']}'") if raw.get("copy") else None,
        group=raw.get("resourceGroup"),
        subscription=raw.get("subscriptionId"),
        extends=raw.get("scope"),
        body={key: value for key, value in raw.items() if key not in _NOT_BODY},
    )


def _refuse_elsewhere(raw: Json, *, existing: bool) -> None:
    """Only nested deployments and existing resources can be in another group or subscription."""
    if raw.get("scope") is not None and raw["type"].lower() != ROLE_ASSIGNMENT.lower():
        raise ExpressionError(
            f"The template resource '{raw['name']}' uses 'scope', which the local cloud does not support."
        )
    if existing or raw["type"].lower() == DEPLOYMENT.lower():
        return
    for key in _ELSEWHERE:
        if key in raw:
            raise ExpressionError(
                f"The template resource '{raw['name']}' of type '{raw['type']}' uses '{key}',"
                " which is only allowed for nested deployments."
            )
