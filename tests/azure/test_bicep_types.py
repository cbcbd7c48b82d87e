"""Types as a template declares them: parts of others, unions, what is derived from resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.azure.bicep_builders import compiled

from remora.azure.bicep import compile_bicep
from remora.azure.bicep.translation.property_kinds import kind_of
from remora.errors import InvalidFile

DECLARED = """
type site = {
  address: { street: string, number: int? }
  tags: { *: string }
  doors: door[]
  size: [int, door]
}
type door = 'left' | 'right'
type alias = site
type maybe = string?
type round = { kind: 'round', radius: int }
type square = { kind: 'square', side: int }
type other = { kind: 'other', inner: other? }
"""


def definition(kind: str, decorator: str = "") -> Any:
    """What `type t = …` becomes, beside other declarations."""
    return compiled(f"{DECLARED}{decorator}\ntype t = {kind}\n")["definitions"]["t"]


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("site.address", "site/properties/address"),
        ("site.address.number", "site/properties/address/properties/number"),
        ("alias.address", "site/properties/address"),
        ("site.tags.*", "site/properties/tags/additionalProperties"),
        ("site.doors[*]", "site/properties/doors/items"),
        ("site.size[1]", "site/properties/size/prefixItems/1"),
    ],
)
def test_a_part_of_a_type_is_a_reference_into_it(kind: str, reference: str) -> None:
    assert definition(kind) == {"$ref": f"#/definitions/{reference}"}


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("maybe!", {"$ref": "#/definitions/maybe", "nullable": False}),
        ("sys.string", {"type": "string"}),
        ("any", {}),
        ("{ x: any? }", {"type": "object", "properties": {"x": {"nullable": True}}}),
        ("!true | true", {"type": "bool", "allowedValues": [False, True]}),
        ("-1", {"type": "int", "allowedValues": [-1]}),
        ("\n  | 'b'\n  | 'a'", {"type": "string", "allowedValues": ["a", "b"]}),
        ("door | 'up' | 'left'", {"type": "string", "allowedValues": ["left", "right", "up"]}),
        ("'ab' | 'ab c' | 'a\\'b'", {"type": "string", "allowedValues": ["a'b", "ab c", "ab"]}),
        ("'a' | null", {"type": "string", "allowedValues": ["a"], "nullable": True}),
        ("{ a: 1 } | { a: 2 }", {"type": "object", "allowedValues": [{"a": 1}, {"a": 2}]}),
        ("['b', 1] | ['a', 2]", {"type": "array", "allowedValues": [["a", 2], ["b", 1]]}),
        ("('b' | 'a')[]", {"type": "array", "allowedValues": ["a", "b"]}),
        ("(1 | 'a' | null | { x: true })[]", {"type": "array", "allowedValues": ["a", 1, None, {"x": True}]}),
        ("door[]", {"type": "array", "items": {"$ref": "#/definitions/door"}}),
        ("('a' | 'b')[][]", {"type": "array", "items": {"type": "array", "allowedValues": ["a", "b"]}}),
        (
            "{ a: string }[]",
            {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        ),
        ("{\n  @allowed([1])\n  a: int\n}", {"type": "object", "properties": {"a": {"type": "int"}}}),
        ("{ copy: int }", {"type": "object", "properties": {"[string('copy')]": {"type": "int"}}}),
    ],
)
def test_a_type_becomes_a_document(kind: str, document: Any) -> None:
    assert definition(kind) == document


def test_a_union_of_objects_is_told_apart_by_a_property() -> None:
    mapping = {"round": {"$ref": "#/definitions/round"}, "square": {"$ref": "#/definitions/square"}}
    shape = {"type": "object", "discriminator": {"propertyName": "kind", "mapping": mapping}}
    by = "@discriminator('kind')"
    assert definition("round | square", by) == shape
    assert definition("(round | square)?", by) == {**shape, "nullable": True}
    triangle = "{ kind: 'triangle', sides: int[] }"
    both = compiled(f"{DECLARED}{by}\ntype two = round | square\n{by}\ntype t = two | ({triangle} | other)")
    assert both["definitions"]["t"]["discriminator"]["mapping"] == {
        **mapping,
        "triangle": {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "allowedValues": ["triangle"]},
                "sides": {"type": "array", "items": {"type": "int"}},
            },
        },
        "other": {"$ref": "#/definitions/other"},
    }
    member = definition(f"{{\n  {by}\n  shape: round | square\n}}")
    assert member["properties"]["shape"] == shape


def test_a_variant_can_have_the_union_in_it() -> None:
    by = "@discriminator('kind')"
    template = compiled(
        f"{DECLARED}type node = {{\n  kind: 'node'\n  {by}\n  next: (round | node)?\n}}\nparam n node"
    )
    assert template["definitions"]["node"]["properties"]["next"]["discriminator"]["mapping"] == {
        "round": {"$ref": "#/definitions/round"},
        "node": {"$ref": "#/definitions/node"},
    }


STORAGE = "Microsoft.Storage/storageAccounts@2023-01-01"


@pytest.mark.parametrize(
    ("kind", "document", "pointer"),
    [
        (f"resourceInput<'{STORAGE}'>.name", {"type": "string"}, "properties/name"),
        (f"sys.resourceInput<'az:{STORAGE}'>.name", {"type": "string"}, "properties/name"),
        (
            f"resourceInput<\n  '{STORAGE.lower()}'\n>.properties.isSftpEnabled?",
            {"type": "bool", "nullable": True},
            "properties/properties/properties/isSftpEnabled",
        ),
        (
            "resourceInput<'Microsoft.KeyVault/vaults@2022-07-01'>.properties.accessPolicies[*]",
            {"type": "object"},
            "properties/properties/properties/accessPolicies/items",
        ),
        (
            "resourceInput<'Microsoft.Resources/tags@2022-09-01'>.properties.tags.*",
            {"type": "string"},
            "properties/properties/properties/tags/additionalProperties",
        ),
    ],
)
def test_a_type_derived_from_a_resource_says_its_kind_and_source(
    kind: str, document: dict[str, Any], pointer: str
) -> None:
    found = definition(kind)
    (source,) = [found.pop("metadata")["__bicep_resource_derived_type!"]["source"]]
    assert found == document
    assert source.endswith(f"#{pointer}")
    assert source[0] == "M", "the spelling of Bicep's library"


def test_a_derived_output_is_marked_and_keeps_its_description() -> None:
    template = compiled(
        f"type part = resourceOutput<'{STORAGE}'>.properties\n@description('Where.')\n"
        "output o part.primaryLocation = 'x'"
    )
    assert template["outputs"]["o"] == {
        "type": "string",
        "metadata": {
            "__bicep_resource_derived_type!": {
                "source": f"{STORAGE}#properties/properties/properties/primaryLocation",
                "output": True,
            },
            "description": "Where.",
        },
        "value": "x",
    }


def test_kinds_differ_between_providers_places_and_versions() -> None:
    def kind(resource: str, *names: str) -> str | None:
        return kind_of(resource, [step for name in names for step in ("properties", name)])

    assert kind("Microsoft.Batch/batchAccounts/pools@2024-07-01", "properties", "metadata") == "array"
    assert kind("Microsoft.Search/searchServices@2025-05-01", "properties", "metadata") == "object"
    assert kind("Microsoft.NetApp/netAppAccounts@2025-01-01", "tags") == "object"
    assert kind("Microsoft.NetApp/netAppAccounts@9999-01-01", "tags") is None
    assert kind("My.Own/things@2024-01-01", "name") is None
    assert kind(STORAGE, "noSuchName") is None


@pytest.mark.parametrize(
    ("source", "needs_symbols"),
    [
        ("param p 'a'", False),
        ("param p any", False),
        (f"param p resourceInput<'{STORAGE}'>.name", False),
        ("param p sys.int", False),
        ("param p 'a' | 'b'", True),
        ("param p (string?)!", True),
        ("param p string[]", True),
        ("param p [string]", True),
    ],
)
def test_only_some_types_need_symbols(source: str, needs_symbols: bool) -> None:
    assert ("languageVersion" in compiled(source)) == needs_symbols


@pytest.mark.parametrize(
    ("source", "place", "named"),
    [
        ("type t = {\n  a: int\n}\ntype u = t.b", "4:11", "this part of the type is not known: properties/b"),
        ("type t = string?\ntype u = t.b", "2:11", "this part of the type is not known"),
        ("type t = string[]\ntype u = t[0]", "2:11", "prefixItems/0"),
        ("type t = string[].x", "1:18", "only a declared type has parts"),
        ("type t = t.x", "1:11", "this part of the type is not known"),
        ("type t = 'a' | string", "1:16", "needs a @discriminator()"),
        ("type t = 'a' | 1", "1:10", "different types"),
        ("type t = null", "1:10", "different types"),
        ("type a = ('x' | 'y')[]\ntype t = a | ['z']", "2:10", "needs a @discriminator()"),
        ("@discriminator('k')\ntype t = string[]", "2:16", "is for a union of objects"),
        ("@discriminator('k')\ntype t = { k: 'a' } | { k: string }", "2:23", "no property 'k' with one text"),
        ("@discriminator('k')\ntype t = { k: 'a' } | { k: 'a' }", "2:23", "two variants have k: 'a'"),
        ("@discriminator('k')\ntype t = { k: 'a' } | string", "2:23", "must be an object of this"),
        ("param p resourceInput<'Microsoft.Storage/storageAccounts@2023-01-01'>", "1:9", "of a whole"),
        ("param p resourceInput<'A.B/c@2024-01-01'>.name", "1:42", "is not known to this compiler"),
        ("param p resourceInput<'A.B/c'>.name", "1:23", "not a resource type with an API version"),
        ("param p resourceInput<name>.name", "1:23", "expected a type of resources"),
        ("param p list<string>", "1:9", "the type list<…> is not supported"),
        ("param p a.resourceInput<'A.B/c@2024-01-01'>", "1:10", "not supported here"),
        ("type t = !1", "1:11", "expected true or false"),
        ("type t = -'a'", "1:11", "expected a number"),
        ("type t = a[b]", "1:12", "expected a number, '*' or ']'"),
    ],
)  # fmt: skip
def test_types_that_are_not_compiled_are_refused_where_they_stand(
    source: str, place: str, named: str
) -> None:
    with pytest.raises(InvalidFile) as caught:
        compile_bicep(source, Path("x.bicep"))
    assert caught.value.message.startswith(f"x.bicep:{place}: ")
    assert named in caught.value.message
