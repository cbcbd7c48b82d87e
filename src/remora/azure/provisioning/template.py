"""Reads a compiled template as written. Evaluates nothing except a parameter's value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The deployment that is about to start. `resource_ids` are known once the group exists."""

    group: str
    location: str
    template: Json
    parameters: Mapping[str, Any]
    resource_ids: tuple[str, ...] = ()


def resource_types(template: Json) -> dict[str, set[str]]:
    """Provider → types of its resources in the template, nested templates included."""
    found: dict[str, set[str]] = {}
    for value in _values(template, "type"):
        namespace, _, kind = str(value).partition("/")
        if kind and namespace.startswith("Microsoft.") and namespace != "Microsoft.Resources":
            found.setdefault(namespace, set()).add(kind)
    return found


def follows_location(template: Json, kind: str) -> bool:
    """Whether all resources of a kind (`storageaccounts`) use the parameter `location`."""
    wanted = "[parameters('location')]"
    found = [item for item in _resources(template) if str(item["type"]).partition("/")[2].lower() == kind]
    return bool(found) and all(item.get("location") == wanted for item in found)


def profile_types(template: Json, parameters: Mapping[str, Any]) -> list[str]:
    """Every workload profile type in the template, as text or as a parameter's value."""
    found = [_resolved(value, template, parameters) for value in _values(template, "workloadProfileType")]
    return list(dict.fromkeys(name for name in found if name is not None))


def _resolved(value: object, template: Json, parameters: Mapping[str, Any]) -> str | None:
    """A text of the template, or a parameter's value; None for other expressions."""
    text = str(value)
    if not text.startswith("[") or text.startswith("[["):
        return text
    name = text.removeprefix("[parameters('").removesuffix("')]")
    default = (template.get("parameters", {}).get(name) or {}).get("defaultValue")
    found = parameters.get(name, default)
    return found if isinstance(found, str) and not found.startswith("[") else None


def _resources(document: object) -> list[Json]:
    """Every object with a type and an apiVersion, nested templates included."""
    if isinstance(document, list):
        return [found for item in document for found in _resources(item)]
    if not isinstance(document, dict):
        return []
    own = [document] if isinstance(document.get("type"), str) and "apiVersion" in document else []
    return own + [found for item in document.values() for found in _resources(item)]


def _values(document: object, key: str) -> list[object]:
    """Every value under `key`, at any depth."""
    if isinstance(document, list):
        return [value for item in document for value in _values(item, key)]
    if not isinstance(document, dict):
        return []
    own = [document[key]] if isinstance(document.get(key), str) else []
    return own + [value for item in document.values() for value in _values(item, key)]
