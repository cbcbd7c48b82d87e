"""The identity of a template: its normal form and Azure's hash of it.

Resource Manager reads a template into typed objects, so the order of the sections, and of the keys of
parameters, resources and outputs, is always the same; everything below is kept as it was written. The
hash is that of the normal form in capitals. Azure documents none of this: the order and the hash are
those that reproduce every recorded `templateHash`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from remora.localcloud.arm.unique_string import hash64
from remora.localcloud.state import Json

_SECTIONS: Final = (
    *("$schema", "languageVersion", "contentVersion", "apiProfile", "definitions", "metadata"),
    *("parameters", "variables", "functions", "resources", "outputs"),
)
_PARAMETER: Final = ("defaultValue", "allowedValues", "type", "metadata")
_OUTPUT: Final = ("condition", "type", "value")
_RESOURCE: Final = (
    *("condition", "existing", "type", "apiVersion", "name", "scope", "location", "dependsOn", "tags"),
    *("sku", "kind", "properties", "resourceGroup", "subscriptionId"),
)


def template_hash(template: Json) -> str:
    """A decimal number, equal to the one that Azure gives for the same template."""
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
    """Known keys first, in their order; then whatever else there is."""
    if not isinstance(value, dict):
        return value
    known = {key: value[key] for key in keys if key in value}
    return known | {key: item for key, item in value.items() if key not in known}
