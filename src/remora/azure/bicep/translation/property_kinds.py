"""What kind a property of a resource is, for types that are derived from resources. Knows no values.

`property_kinds.txt` has what Bicep's own library of types says; `scripts/property_kinds.py` writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from remora.azure.bicep.translation.spelling import is_known

LIST: Final = Path(__file__).with_name("property_kinds.txt")
ITEMS, OTHERS = "[]", ".*"  # after a name: of the array's items, of the object's other properties
STEPS: Final = {"items": ITEMS, "additionalProperties": OTHERS}
SHORT: Final = {"string": "s", "int": "i", "bool": "b", "array": "a", "object": "o", "any": "-"}
SEVERAL = "?"
MICROSOFT = "microsoft."


def kind_of(resource_type: str, pointer: Sequence[str]) -> str | None:
    """`string`, `int`, `bool`, `array`, `object` or `any`; None if it is not known.

    `pointer` leads to the property, as in a template: `properties`, then a name, and so on.
    """
    kind, _, version = resource_type.partition("@")
    if not is_known(kind):
        return None
    outer, name, rest = "", "", list(pointer)
    while rest:
        step = rest.pop(0)
        if step == "properties" and rest:
            outer, name = name, rest.pop(0)
        elif step in STEPS and name:
            name += STEPS[step]
        else:
            return None
    provider = kind.partition("/")[0].lower().removeprefix(MICROSOFT)
    kind = _kind(name, provider)
    if kind == SEVERAL:
        kind, *versions = _kind(f"{outer}/{name}", provider).split(":")
        if versions and (version > versions[0] or version in versions[1:]):
            return None
    return next((long for long, short in SHORT.items() if short == kind), None)


def _kind(name: str, provider: str) -> str:
    usual, *others = _lines().get(name, SEVERAL).split()
    there = dict(other.split("=") for other in others)
    return there.get(provider, usual)


@cache
def _lines() -> dict[str, str]:
    """By name: the usual kind, and the others by provider."""
    lines = (line.partition(" ") for line in LIST.read_text("utf-8").splitlines() if not line.startswith("#"))
    return {name: kinds for name, _, kinds in lines}
