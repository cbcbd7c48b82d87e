"""Which outputs of a module hold a secret, so that they are read in another way. Reads no values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from remora.azure.bicep.translation.libraries import DEFINITIONS
from remora.azure.bicep.translation.terms import Json


def secret_outputs(template: Mapping[str, Json]) -> frozenset[str]:
    """The names of the outputs that are secrets, or objects and arrays with a secret in them."""
    outputs, definitions = template.get("outputs", {}), template.get("definitions", {})
    known = definitions if isinstance(definitions, dict) else {}
    documents = outputs.items() if isinstance(outputs, dict) else ()
    return frozenset(name for name, document in documents if _is_secret(document, known, set()))


def _is_secret(document: Json, definitions: Mapping[str, Json], seen: set[str]) -> bool:
    if not isinstance(document, dict):
        return False
    if str(document.get("type", "")).lower().startswith("secure"):
        return True
    reference = document.get("$ref")
    if isinstance(reference, str) and reference not in seen:
        seen.add(reference)
        name, *parts = reference.removeprefix(DEFINITIONS).split("/")
        found = definitions.get(name)
        for part in parts:
            found = found.get(part) if isinstance(found, dict) else None
        if _is_secret(found, definitions, seen):
            return True
    return any(_is_secret(part, definitions, seen) for part in _parts(document))


def _parts(document: Mapping[str, Json]) -> Iterator[Json]:
    """The types in a type."""
    for key in ("items", "additionalProperties"):
        yield document.get(key)
    members, prefix = document.get("properties"), document.get("prefixItems")
    yield from members.values() if isinstance(members, dict) else ()
    yield from prefix if isinstance(prefix, list) else ()
    discriminator = document.get("discriminator")
    mapping = discriminator.get("mapping") if isinstance(discriminator, dict) else None
    yield from mapping.values() if isinstance(mapping, dict) else ()
