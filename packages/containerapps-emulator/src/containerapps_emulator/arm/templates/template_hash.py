"""The identity of a template: its normal form and Azure's hash of it. Does not validate the template.

Resource Manager parses a template into typed objects, which fixes the order of the sections and of the keys
of parameters, resources and outputs; everything below keeps its written order. The hash is that of the
normal form in capitals. Azure documents none of this: this order and hash reproduce every recorded
`templateHash`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from containerapps_emulator.arm.templates.unique_string import hash64
from containerapps_emulator.state import Json

_SECTIONS: Final = (
    *("$schema", "languageVersion", "contentVersion", "apiProfile", "definitions"),
    *("parameters", "variables", "functions", "resources", "outputs", "metadata"),
)
_PARAMETER: Final = (
    *("minLength", "maxLength", "minValue", "maxValue", "nullable"),
    *("defaultValue", "allowedValues", "type", "metadata"),
)
_OUTPUT: Final = ("condition", "nullable", "type", "value")
_RESOURCE: Final = (
    *("condition", "existing", "type", "apiVersion", "name", "scope", "location", "dependsOn", "tags"),
    *("sku", "kind", "properties", "resourceGroup", "subscriptionId"),
)


def template_hash(template: Json) -> str:
    """A decimal number, equal to Azure's for the same template. A compiler's note of it does not count."""
    metadata: Any = template.get("metadata")
    generator = metadata.get("_generator") if isinstance(metadata, dict) else None
    if isinstance(generator, dict) and "templateHash" in generator:
        unsigned = {key: value for key, value in generator.items() if key != "templateHash"}
        template = {**template, "metadata": {**metadata, "_generator": unsigned}}
    return str(hash64(minified(template).encode()))


def minified(template: Json) -> str:
    """The text that is hashed."""
    return json.dumps(normal_form(template), separators=(",", ":"), ensure_ascii=False).upper()


def normal_form(template: Json) -> Json:
    """The template with its keys in Azure's order."""
    ordered: Json = _ordered(template, _SECTIONS)
    for section, keys in (("parameters", _PARAMETER), ("outputs", _OUTPUT)):
        if isinstance(ordered.get(section), dict):
            ordered[section] = {name: _ordered(item, keys) for name, item in ordered[section].items()}
    resources = ordered.get("resources")
    if isinstance(resources, list):
        ordered["resources"] = [_ordered(item, _RESOURCE) for item in resources]
    if isinstance(resources, dict):
        ordered["resources"] = {name: _ordered(item, _RESOURCE) for name, item in resources.items()}
    return ordered


def exported(template: Json) -> Json:
    """The normal form as exportTemplate shows it: types have a capital letter."""
    shown = normal_form(template)
    for section in ("parameters", "outputs"):
        items: Json = shown.get(section) or {}
        for name, item in items.items():
            if isinstance(item, dict) and isinstance(item.get("type"), str):
                capital = item["type"][:1].upper() + item["type"][1:]
                items[name] = {**item, "type": capital}
    return shown


def _ordered(value: Any, keys: Sequence[str]) -> Any:
    """Known keys first, in their order, then the other keys."""
    if not isinstance(value, dict):
        return value
    known = {key: value[key] for key in keys if key in value}
    return known | {key: item for key, item in value.items() if key not in known}
