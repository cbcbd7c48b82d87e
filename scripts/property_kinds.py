"""`python -m scripts.property_kinds REPOSITORY`: writes the list of the kinds of properties.

REPOSITORY is the git directory of a clone of Azure/bicep-types-az. The list has one line for each name of a
property, with the kind that it has in most types, then the providers where it has another one. Where it has
several in one provider, lines with the name of the outer property before it tell these apart; a kind with
versions after it is known up to the first version, but not in the others.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.resource_types import git

from remora.azure.bicep.translation.property_kinds import (
    ITEMS,
    LIST,
    MICROSOFT,
    OTHERS,
    SEVERAL,
    SHORT,
)

DEEPEST = 3
UNKNOWN = "-"  # the outer property of what only functions of resources have

KINDS = {
    "StringLiteralType": "string",
    "StringType": "string",
    "IntegerType": "int",
    "BooleanType": "bool",
    "ObjectType": "object",
    "DiscriminatedObjectType": "object",
    "ArrayType": "array",
    "AnyType": "any",
}

Kinds = dict[str, dict[str, Counter[str]]]
"""By name and provider."""
Versions = dict[str, dict[str, dict[str, set[str]]]]
"""By name, provider and version."""


def main(repository: str) -> None:
    """Write the list. Raises CalledProcessError if git refuses."""
    names: Kinds = defaultdict(lambda: defaultdict(Counter))
    within: Versions = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for provider, version, types in _documents(repository):
        for outer, name, kind in _properties(types):
            names[name][provider][kind] += 1
            within[f"{outer}/{name}"][provider][version].add(kind)
    lines = [_line(name, providers) for name, providers in sorted(names.items())]
    lines += filter(None, (_inner_line(path, within[path], names) for path in sorted(within)))
    commit = git(repository, "log", "-1", "--format=%h of %cs").decode().strip()
    head = f"# Azure/bicep-types-az, {commit}: kinds of properties (first letters), others in some providers"
    LIST.write_text("\n".join((head, *lines, "")), "utf-8")
    print(f"{len(lines)} lines in {LIST}")


def _line(name: str, providers: dict[str, Counter[str]]) -> str:
    total = sum(providers.values(), Counter[str]())
    usual = min(total, key=lambda kind: (-total[kind], kind))
    there = {provider: _only(kinds) for provider, kinds in providers.items()}
    return _written(
        name, SHORT[usual], {provider: kind for provider, kind in there.items() if kind != SHORT[usual]}
    )


def _inner_line(path: str, providers: dict[str, dict[str, set[str]]], names: Kinds) -> str:
    """The kinds of a property in another one, in the providers where its name does not tell; or nothing."""
    name = path.rpartition("/")[2]
    there = {
        provider: _by_version(versions)
        for provider, versions in providers.items()
        if len(names[name][provider]) > 1
    }
    known = {provider: kind for provider, kind in there.items() if kind != SEVERAL}
    return _written(path, SEVERAL, known) if known else ""


def _by_version(versions: dict[str, set[str]]) -> str:
    """The kind in all versions, or in most of them with the newest version and those where it is not sure."""
    single = Counter(next(iter(kinds)) for kinds in versions.values() if len(kinds) == 1)
    if not single:
        return SEVERAL
    usual = min(single, key=lambda kind: (-single[kind], kind))
    unsure = sorted(version for version, kinds in versions.items() if kinds != {usual})
    if len(unsure) * 2 > len(versions):
        return SEVERAL
    return ":".join((SHORT[usual], max(versions), *unsure)) if unsure else SHORT[usual]


def _only(kinds: Counter[str]) -> str:
    return SHORT[next(iter(kinds))] if len(kinds) == 1 else SEVERAL


def _written(name: str, usual: str, others: dict[str, str]) -> str:
    written = (f"{provider.removeprefix(MICROSOFT)}={kind}" for provider, kind in sorted(others.items()))
    return " ".join((name, usual, *written))


def _properties(types: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """The outer property, the name and the kind of each property, also of items and other properties."""
    outers = _outers(types)
    for number, entry in enumerate(types):
        for name, member in _members(entry):
            shown, kind = _target(types, member), _kind(types, member)
            item, other = shown.get("itemType"), shown.get("additionalProperties")
            for outer in outers[number] or {UNKNOWN}:
                yield outer, name, kind
                if item:
                    yield outer, name + ITEMS, _kind(types, item)
                if other:
                    yield outer, name + OTHERS, _kind(types, other)


def _members(entry: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    for name, member in {**(entry.get("properties") or {}), **(entry.get("baseProperties") or {})}.items():
        if name and not any(letter.isspace() or letter == "/" for letter in name):
            yield name, member["type"]


def _outers(types: list[dict[str, Any]]) -> dict[int, set[str]]:
    """By type: the names of the properties that have this type; of an item's, the array's name with `[]`."""
    found: dict[int, set[str]] = defaultdict(set)
    for entry in types:
        for name, member in _members(entry):
            _reach(types, member, name, found)
        if entry["$type"] == "ResourceType":
            _reach(types, entry["body"], "", found)
    return found


def _reach(
    types: list[dict[str, Any]], reference: dict[str, str], name: str, found: dict[int, set[str]]
) -> None:
    number = int(reference["$ref"].rpartition("/")[2])
    if name in found[number]:
        return
    found[number].add(name)
    target = types[number]
    for key, mark in (("itemType", ITEMS), ("additionalProperties", OTHERS)):
        if target.get(key) and name.count(mark) < DEEPEST:
            _reach(types, target[key], name + mark, found)
    for variant in (
        (target.get("elements") or {}).values() if isinstance(target.get("elements"), dict) else ()
    ):
        _reach(types, variant, name, found)


def _target(types: list[dict[str, Any]], reference: dict[str, str]) -> dict[str, Any]:
    return types[int(reference["$ref"].rpartition("/")[2])]


def _kind(types: list[dict[str, Any]], reference: dict[str, str]) -> str:
    """The kind that a template declares; `any` for a union of several."""
    target = _target(types, reference)
    if target["$type"] == "UnionType":
        kinds = {_kind(types, member) for member in target["elements"]}
        return kinds.pop() if len(kinds) == 1 else "any"
    return KINDS[target["$type"]]


def _documents(repository: str) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """The provider, the version and the types of each document."""
    tree = git(repository, "ls-tree", "-r", "HEAD", "generated/").decode().splitlines()
    for line in tree:
        if line.endswith("/types.json"):
            provider, version = line.lower().split("/")[-3:-1]
            yield provider, version, json.loads(git(repository, "cat-file", "blob", line.split()[2]))


if __name__ == "__main__":
    main(str(Path(sys.argv[1])))
