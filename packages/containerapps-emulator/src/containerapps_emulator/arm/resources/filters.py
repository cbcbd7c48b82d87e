"""`$filter` and `$top` of lists of resources and resource groups: the forms that Azure documents."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

_CONDITION = re.compile(r"\s*(\w+)\s+(eq|ne)\s+'((?:[^']|'')*)'\s*", re.IGNORECASE)
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)

_READ: dict[str, Callable[[Json], str]] = {
    "resourcetype": lambda item: str(item.get("type", "")),
    "name": lambda item: str(item.get("name", "")),
    "location": lambda item: str(item.get("location", "")),
    "resourcegroup": lambda item: str(item.get("id", "")).split("/")[4],
}


def filtered(items: Sequence[Json], query: Mapping[str, str]) -> list[Json]:
    """The items that match the query. Raises ArmError 400 for an unsupported filter."""
    wanted = query.get("$filter", "")
    kept = list(items)
    tag: str | None = None
    for part in _AND.split(wanted) if wanted.strip() else ():
        condition = _CONDITION.fullmatch(part)
        if condition is None:
            raise _unknown(wanted)
        field, operator, value = condition[1].lower(), condition[2].lower(), condition[3].replace("''", "'")
        if field == "tagname":
            tag = value
            kept = [item for item in kept if tag in _tags(item)]
        elif field == "tagvalue" and tag is not None:
            kept = [item for item in kept if _tags(item).get(tag) == value]
        elif field in _READ:
            read, same = _READ[field], operator == "eq"
            kept = [item for item in kept if (read(item).lower() == value.lower()) is same]
        else:
            raise _unknown(wanted)
    return kept[: _top(query)]


def _tags(item: Json) -> Json:
    return item.get("tags") or {}


def _top(query: Mapping[str, str]) -> int | None:
    text = query.get("$top")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 1000:
        raise ArmError(400, "InvalidTopInQueryString", f"The $top '{text}' is not between 1 and 1000.")
    return int(text)


def _unknown(text: str) -> ArmError:
    return ArmError(
        400,
        "InvalidFilterInQueryString",
        f"Invalid $filter '{text}' specified in the query string: the local cloud supports conditions such as"
        " \"resourceType eq 'Microsoft.App/containerApps'\" and \"tagName eq 'a' and tagValue eq 'b'\".",
    )
