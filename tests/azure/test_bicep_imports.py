"""What a file exports and another imports: names, what these use, origins, from Bicep files and templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.azure.bicep_builders import compiled

from remora.errors import InvalidFile

SHARED = """
@export()
@description('Where it runs.')
type site = {
  region: region
  zones: zone[]?
}

type region = 'east' | 'west'

@minLength(1)
type zone = string

@export()
var primary = regions[0]

var regions = [for (name, i) in names: '${name}-${i}']
var names = ['east', 'west']

@export()
func label(of site) string => shout(of.region)

func shout(text string) string => '${toUpper(text)}${suffix}'

var suffix = '!'

@export()
var Unused site = {
  region: 'east'
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "shared.bicep").write_text(SHARED)
    return tmp_path


def compiled_in(folder: Path, source: str) -> dict[str, Any]:
    return compiled(source, folder / "main.bicep")


def refusal(folder: Path, source: str) -> str:
    with pytest.raises(InvalidFile) as caught:
        compiled_in(folder, source)
    return caught.value.message


def test_an_export_is_marked_in_the_template(folder: Path) -> None:
    template = compiled(SHARED)
    assert template["definitions"]["site"]["metadata"] == {
        "description": "Where it runs.",
        "__bicep_export!": True,
    }
    assert "metadata" not in template["definitions"]["region"]
    members = template["functions"][0]["members"]
    assert members["label"]["metadata"] == {"__bicep_export!": True}
    assert template["metadata"]["__bicep_exported_variables!"] == [
        {"name": "Unused", "type": {"$ref": "#/definitions/site"}},
        {"name": "primary"},
    ]


def test_an_import_brings_everything_that_it_uses(folder: Path) -> None:
    template = compiled_in(
        folder,
        """
        import { site, primary as first, label } from 'lib/shared.bicep'
        param where site
        output name string = '${first} ${label(where)}'
        """,
    )
    assert template["languageVersion"] == "2.0"
    origin = {"__bicep_imported_from!": {"sourceTemplate": "lib/shared.bicep"}}
    assert template["definitions"] == {
        "_1.region": {"type": "string", "allowedValues": ["east", "west"], "metadata": origin},
        "_1.zone": {"type": "string", "minLength": 1, "metadata": origin},
        "site": {
            "type": "object",
            "properties": {
                "region": {"$ref": "#/definitions/_1.region"},
                "zones": {"type": "array", "items": {"$ref": "#/definitions/_1.zone"}, "nullable": True},
            },
            "metadata": {"description": "Where it runs.", **origin},
        },
    }
    assert template["functions"] == [
        {
            "namespace": "_1",
            "members": {
                "shout": {
                    "parameters": [{"type": "string", "name": "text"}],
                    "output": {
                        "type": "string",
                        "value": "[format('{0}{1}', toUpper(parameters('text')), variables('_1.suffix'))]",
                    },
                    "metadata": origin,
                }
            },
        },
        {
            "namespace": "__bicep",
            "members": {
                "label": {
                    "parameters": [{"$ref": "#/definitions/site", "name": "of"}],
                    "output": {"type": "string", "value": "[_1.shout(parameters('of').region)]"},
                    "metadata": origin,
                }
            },
        },
    ]
    assert template["variables"] == {
        "copy": [
            {
                "name": "_1.regions",
                "count": "[length(variables('_1.names'))]",
                "input": "[format('{0}-{1}', variables('_1.names')[copyIndex('_1.regions')],"
                " copyIndex('_1.regions'))]",
            }
        ],
        "_1.names": ["east", "west"],
        "_1.suffix": "!",
        "first": "[variables('_1.regions')[0]]",
    }
    assert template["outputs"]["name"]["value"] == (
        "[format('{0} {1}', variables('first'), __bicep.label(parameters('where')))]"
    )


def test_a_whole_file_is_imported_under_a_name(folder: Path) -> None:
    template = compiled_in(
        folder,
        """
        import * as shared from './lib/shared.bicep'
        param where shared.site
        var copies = [for shared in ['x']: shared]
        output name string = '${shared.primary} ${shared.label(where)}'
        output region shared.site.region = 'east'
        """,
    )
    assert template["parameters"]["where"] == {"$ref": "#/definitions/_1.site"}
    assert template["outputs"] == {
        "name": {
            "type": "string",
            "value": "[format('{0} {1}', variables('_1.primary'), _1.label(parameters('where')))]",
        },
        "region": {"$ref": "#/definitions/_1.site/properties/region", "value": "east"},
    }
    assert "_1.Unused" in template["variables"]
    assert template["variables"]["copy"][0]["input"] == "[createArray('x')[copyIndex('copies')]]"


def test_files_are_numbered_in_the_order_of_their_paths(folder: Path) -> None:
    (folder / "lib" / "z.bicep").write_text(
        "import * as all from '../a.bicep'\n@export()\nvar z = '${all.deep}${own}'\nvar own = 1"
    )
    (folder / "a.bicep").write_text("@export()\nvar deep = far\nvar far = 1")
    template = compiled_in(
        folder, "import * as one from 'lib/z.bicep'\nimport { primary } from 'lib/shared.bicep'"
    )
    assert {name: value for name, value in template["variables"].items() if name != "copy"} == {
        "_1.deep": "[variables('_1.far')]",
        "_1.far": 1,
        "_2.names": ["east", "west"],
        "_3.own": 1,
        "_3.z": "[format('{0}{1}', variables('_1.deep'), variables('_3.own'))]",
        "primary": "[variables('_2.regions')[0]]",
    }


def test_a_loaded_file_comes_with_the_variable_that_loads_it(folder: Path) -> None:
    (folder / "lib" / "names.json").write_text('["x", "[y]"]')
    (folder / "lib" / "l.bicep").write_text("@export()\nvar names = loadJsonContent('names.json')[0]")
    template = compiled_in(folder, "import { names } from 'lib/l.bicep'")
    assert template["variables"] == {"_1._2": ["x", "[[y]"], "names": "[variables('_1._2')[0]]"}


TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "languageVersion": "2.0",
    "contentVersion": "1.0.0.0",
    "metadata": {"__bicep_exported_variables!": [{"name": "no-name"}, {"name": "list"}]},
    "definitions": {
        "kind": {
            "type": "object",
            "properties": {
                "size": {"$ref": "#/definitions/_1.size"},
                "level": {"$ref": "#/definitions/_1.size/properties/level"},
                "secret": {"type": "SecureString", "nullable": True},
                "many": {"type": "array", "items": {"type": "int", "minValue": 1}},
            },
            "additionalProperties": False,
            "metadata": {"__bicep_export!": True, "description": "A kind."},
        },
        "_1.size": {
            "type": "object",
            "properties": {"level": {"type": "int"}},
            "metadata": {"__bicep_imported_from!": {"sourceTemplate": "else.bicep"}},
        },
    },
    "functions": [
        {
            "namespace": "__bicep",
            "members": {
                "twice": {
                    "parameters": [{"type": "int", "name": "n", "minValue": 3}],
                    "output": {"type": "int", "value": "[mul(parameters('n'), variables('two'))]"},
                    "metadata": {"__bicep_export!": True, "description": "Doubles."},
                }
            },
        }
    ],
    "variables": {
        "copy": [{"name": "list", "count": "[variables('two')]", "input": "[copyIndex('list', 1)]"}],
        "two": 2,
        "no-name": "[[it's]",
    },
    "resources": {},
}


def test_a_compiled_template_is_imported_too(folder: Path) -> None:
    (folder / "lib" / "t.json").write_text(json.dumps(TEMPLATE))
    template = compiled_in(
        folder,
        """
        import { kind, twice, list } from 'lib/t.json'
        import { 'no-name' as text } from 'lib/t.json'
        param k kind
        output n int = twice(list[0])
        output t string = text
        """,
    )
    origin = {"sourceTemplate": "lib/t.json"}
    assert template["definitions"] == {
        "_1._2": {
            "type": "object",
            "properties": {"level": {"type": "int"}},
            "metadata": {"__bicep_imported_from!": {**origin, "originalIdentifier": "#/definitions/_1.size"}},
        },
        "_1._3": {
            "type": "int",
            "metadata": {
                "__bicep_imported_from!": {
                    **origin,
                    "originalIdentifier": "#/definitions/_1.size/properties/level",
                }
            },
        },
        "kind": {
            "type": "object",
            "properties": {
                "size": {"$ref": "#/definitions/_1._2"},
                "level": {"$ref": "#/definitions/_1._3"},
                "secret": {"type": "securestring", "nullable": True},
                "many": {"type": "array", "items": {"type": "int"}},
            },
            "additionalProperties": False,
            "metadata": {"description": "A kind.", "__bicep_imported_from!": origin},
        },
    }
    assert template["functions"][0]["members"]["twice"] == {
        "parameters": [{"type": "int", "name": "n"}],
        "output": {"type": "int", "value": "[mul(parameters('n'), variables('_1.two'))]"},
        "metadata": {"description": "Doubles.", "__bicep_imported_from!": origin},
    }
    assert template["variables"] == {
        "copy": [
            {
                "name": "list",
                "count": "[length(range(0, variables('_1.two')))]",
                "input": "[add(copyIndex('list'), 1)]",
            }
        ],
        "_1.two": 2,
        "text": "[[it's]",
    }


@pytest.mark.parametrize(
    ("source", "place", "named"),
    [
        ("import { region } from 'lib/shared.bicep'", "1:10", "does not export 'region'"),
        ("import { site } from 'lib/none.bicep'", "1:22", "'lib/none.bicep' does not exist"),
        ("import { site } from '../out.bicep'", "1:22", "is outside"),
        ("import { site } from 'main.bicep'", "1:22", "includes itself"),
        ("import { site, site } from 'lib/shared.bicep'", "1:16", "'site' is declared twice"),
        ("var site = 1\nimport { site } from 'lib/shared.bicep'", "2:10", "'site' is declared twice"),
        ("import { site } from 'lib/shared.bicep'\ntype site = string", "2:6", "'site' is declared twice"),
        ("import * as s from 'lib/shared.bicep'\nvar v = s.suffix", "2:11", "'s' has no variable 'suffix'"),
        ("import * as s from 'lib/shared.bicep'\nvar v = s.shout('')", "2:11", "has no function 'shout'"),
        ("import * as s from 'lib/shared.bicep'\nparam p s.zone", "2:10", "'s' has no type 'zone'"),
        ("import { 'site' } from 'lib/shared.bicep'", "1:17", "expected 'as' and a name"),
        ("import site from 'lib/shared.bicep'", "1:8", "expected '{'"),
        ("import 'az@1.0'", "1:8", "extensions"),
        ("@secure()\nimport { site } from 'lib/shared.bicep'", "1:1", "@secure() is not supported"),
        ("@export()\nparam p string", "1:1", "@export() is not supported here"),
        ("import { bad } from 'lib/bad.json'", "1:21", "'bad.json': one of its types is 'none'"),
        ("import { v } from 'lib/computed.json'", "1:8", "computes the name of a variable"),
    ],
)  # fmt: skip
def test_what_cannot_be_imported_is_refused_where_it_stands(
    folder: Path, source: str, place: str, named: str
) -> None:
    (folder / "main.bicep").write_text(source)
    bad = {"resources": [], "definitions": {"bad": {"metadata": {"__bicep_export!": True}}}}
    (folder / "lib" / "bad.json").write_text(json.dumps(bad))
    computed: dict[str, Any] = {"resources": [], "variables": {"v": "[variables(concat('a', 'b'))]"}}
    computed["metadata"] = {"__bicep_exported_variables!": [{"name": "v"}]}
    (folder / "lib" / "computed.json").write_text(json.dumps(computed))
    message = refusal(folder, source)
    assert message.startswith(f"{folder / 'main.bicep'}:{place}: ")
    assert named.replace("'bad.json'", "'lib/bad.json'") in message


def test_a_variable_that_reads_a_resource_is_not_exported(folder: Path) -> None:
    (folder / "lib" / "r.bicep").write_text(
        "resource r 'A.B/c@2024-01-01' existing = {\n  name: 'r'\n}\n@export()\nvar v = r.properties.x\n"
    )
    message = refusal(folder, "import { v } from 'lib/r.bicep'")
    assert message.endswith("lib/r.bicep:5:5: 'v' reads a resource, and is exported")
