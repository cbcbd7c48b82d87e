"""Modules become nested deployments; loaded files become variables; neither is read from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.azure.bicep_builders import compiled

from remora.errors import InvalidFile

M = "module m 'modules/part.bicep' = {\n  name: 'm'\n"
PART = """
param name string
param size int = 1
resource part 'My.App/parts@2024-01-01' = {
  name: name
}
output id string = part.id
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module in it, inside of a bigger one."""
    folder = tmp_path / "infra"
    (folder / "modules").mkdir(parents=True)
    (folder / "modules" / "part.bicep").write_text(PART)
    return folder


def compiled_in(folder: Path, source: str, root: Path | None = None) -> dict[str, Any]:
    return compiled(source, folder / "main.bicep", root)


def refusal(folder: Path, source: str) -> str:
    with pytest.raises(InvalidFile) as caught:
        compiled_in(folder, source)
    return caught.value.message


def test_a_module_is_a_nested_deployment(folder: Path) -> None:
    template = compiled_in(
        folder,
        """
        param names array
        module first 'modules/part.bicep' = {
          name: 'first'
          params: { name: 'a' }
        }
        module others './modules/part.bicep' = [for (name, i) in names: if (i > 0) {
          name: 'other-${i}'
          scope: resourceGroup()
          params: {
            name: '${first.outputs.id}-${name}'
            size: i
          }
        }]
        output id string = first.outputs.id
        output maybe string = others[1].outputs.?id ?? ''
        """,
    )
    first, others = template["resources"]
    module = compiled(PART)
    assert first == {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2025-04-01",
        "name": "first",
        "properties": {
            "expressionEvaluationOptions": {"scope": "inner"},
            "mode": "Incremental",
            "parameters": {"name": {"value": "a"}},
            "template": module,
        },
    }
    first_id = "resourceId('Microsoft.Resources/deployments', 'first')"
    output = f"reference({first_id}, '2025-04-01').outputs.id.value"
    assert others["copy"] == {"name": "others", "count": "[length(parameters('names'))]"}
    assert others["condition"] == "[greater(copyIndex(), 0)]"
    assert others["properties"]["parameters"] == {
        "name": {"value": f"[format('{{0}}-{{1}}', {output}, parameters('names')[copyIndex()])]"},
        "size": {"value": "[copyIndex()]"},
    }
    assert others["dependsOn"] == [f"[{first_id}]"]
    assert template["outputs"]["id"]["value"] == f"[{output}]"
    other_id = "resourceId('Microsoft.Resources/deployments', format('other-{0}', 1))"
    other = f"reference({other_id}, '2025-04-01').outputs"
    assert template["outputs"]["maybe"]["value"] == f"[coalesce(tryGet(tryGet({other}, 'id'), 'value'), '')]"


def test_a_module_of_another_group_says_which(folder: Path) -> None:
    template = compiled_in(
        folder,
        """
        module there 'modules/part.bicep' = {
          name: 'there'
          scope: resourceGroup('other')
          params: { name: 'a' }
        }
        output id string = there.outputs.id
        """,
    )
    assert template["resources"][0]["resourceGroup"] == "other"
    assert template["outputs"]["id"]["value"] == (
        "[reference(extensionResourceId(format('/subscriptions/{0}/resourceGroups/{1}', "
        "subscription().subscriptionId, 'other'), 'Microsoft.Resources/deployments', 'there'), '2025-04-01')"
        ".outputs.id.value]"
    )


def test_a_module_without_a_name_gets_one(folder: Path) -> None:
    template = compiled_in(folder, "module part 'modules/part.bicep' = {\n  params: { name: 'a' }\n}")
    assert template["languageVersion"] == "2.0"
    assert (
        template["resources"]["part"]["name"]
        == "[format('part-{0}', uniqueString('part', deployment().name))]"
    )


def test_a_loop_as_the_parameter_of_a_module(folder: Path) -> None:
    (folder / "list.bicep").write_text("param all array")
    template = compiled_in(
        folder,
        "module m 'list.bicep' = {\n  name: 'm'\n  params: { all: [for i in range(0, 2): 'n${i}'] }\n}",
    )
    assert template["resources"][0]["properties"]["parameters"]["all"] == {
        "copy": [
            {
                "name": "value",
                "count": "[length(range(0, 2))]",
                "input": "[format('n{0}', range(0, 2)[copyIndex('value')])]",
            }
        ]
    }


def test_a_compiled_template_can_be_a_module(folder: Path) -> None:
    template = {
        "$schema": "x",
        "contentVersion": "1.0.0.0",
        "resources": [],
        "outputs": {"a": {"type": "string"}},
    }
    (folder / "m.json").write_text(json.dumps(template))
    compiled_template = compiled_in(
        folder, "module m 'm.json' = {\n  name: 'm'\n}\noutput a string = m.outputs.a"
    )
    assert compiled_template["resources"][0]["properties"]["template"] == template


def test_modules_may_lie_elsewhere_in_the_project(folder: Path) -> None:
    source = "module part '../infra/modules/part.bicep' = {\n  name: 'm'\n  params: { name: 'a' }\n}"
    assert len(compiled_in(folder, source, root=folder.parent)["resources"]) == 1


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("module m 'none.bicep' = {\n  name: 'm'\n}", "1:10: the module 'none.bicep': 'none.bicep' does not"),
        ("module m '../out.bicep' = {\n  name: 'm'\n}", "is outside"),
        ("module m '/etc/passwd' = {\n  name: 'm'\n}", "is not a relative path"),
        (M + "}", "main.bicep:1:8: the module needs the parameter 'name'"),
        (M + "  params: { name: 'a', nmae: 'b' }\n}", "main.bicep:3:30: the module has no parameter 'nmae'"),
        (M + "  params: { name: 'a' }\n}\noutput o string = m.outputs.di", "5:29: 'm' has no output 'di'"),
        (M + "  params: { name: 'a' }\n}\noutput o string = m.id", "a module has no 'id'"),
        (M + "  scope: subscription()\n  params: { name: 'a' }\n}",
         "main.bicep:1:8: the module is for a resourceGroup, and its scope is a subscription"),
        ("module m 'main.bicep' = {\n  name: 'm'\n}", "includes itself as a module"),
        ("var t = loadTextContent('../secret.txt')", "main.bicep:1:24: '../secret.txt' is outside"),
        ("var t = loadTextContent('a\\u{0}b')", "is not a valid path"),
        (f"var t = loadTextContent('{'a' * 5000}')", "is not a valid path"),
        ("var t = loadTextContent('modules')", "does not exist"),
        ("var t = loadTextContent('link.txt')", "is outside"),
        ("param p string\nvar t = loadTextContent(p)", "main.bicep:2:24: this function needs a path"),
        ("var t = loadTextContent(format())", "this function needs a path"),
        ("var t = loadTextContent(format('{1}', 'a'))", "this function needs a path"),
        ("var t = loadTextContent(format('{0:x}', 'a'))", "this function needs a path"),
        ("var t = loadTextContent(format('{a}{0}{', 'a'))", "this function needs a path"),
        ("var t = loadTextContent('{${'a'}}')", "'{a}' does not exist"),
        ("var t = loadJsonContent('text.txt')", "'text.txt' is not JSON"),
        ("var t = loadTextContent('binary.bin')", "'binary.bin' is not utf-8"),
        ("var t = loadTextContent('text.txt', 'klingon')", "unknown encoding 'klingon'"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_refused_where_they_are_named(
    folder: Path, source: str, what: str
) -> None:
    (folder.parent / "secret.txt").write_text("secret")
    (folder.parent / "out.bicep").write_text("param x string")
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "text.txt").write_text("text")
    (folder / "binary.bin").write_bytes(b"\xff\xfe\xfd")
    (folder / "main.bicep").write_text(source)
    message = refusal(folder, source)
    assert what in message
    assert "secret" not in message.replace("secret.txt", "")


def test_a_mistake_in_a_module_is_shown_there(folder: Path) -> None:
    (folder / "modules" / "bad.bicep").write_text("param a string\nvar b = c")
    message = refusal(folder, "module m 'modules/bad.bicep' = {\n  name: 'm'\n}")
    assert message == f"{folder / 'modules/bad.bicep'}:2:9: 'c' is not declared"


def test_loaded_files_become_variables(folder: Path) -> None:
    (folder / "start.sh").write_bytes("\ufeffecho 'hé'\n".encode())
    (folder / "old.txt").write_bytes("hé".encode("latin-1"))
    (folder / "settings.json").write_text('{"a": [1, "[x]"]}')
    template = compiled_in(
        folder,
        """
        var all = '${loadTextContent('start.sh')}!'
        var old = loadTextContent('old.txt', 'iso-8859-1')
        var a = loadJsonContent('settings.json').a
        var bytes = loadFileAsBase64('old.txt')
        var name = 'old'
        var same = loadTextContent('${name}.${'txt'}', 'iso-8859-1')
        var late = '${sys.loadTextContent('old.txt', 'iso-8859-1')}${1}'
        """,
    )
    assert template["variables"] == {
        "$fxv#0": "echo 'hé'\n",
        "$fxv#1": {"a": [1, "[[x]"]},
        "$fxv#2": "hé",
        "all": "[format('{0}!', variables('$fxv#0'))]",
        "old": "hé",
        "a": "[variables('$fxv#1').a]",
        "bytes": "aOk=",
        "name": "old",
        "same": "hé",
        "late": "[format('{0}{1}', variables('$fxv#2'), 1)]",
    }


def test_a_secret_of_a_key_vault_is_a_reference_that_only_a_parameter_can_be(folder: Path) -> None:
    template = compiled_in(
        folder,
        """
        resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
          name: 'v'
        }
        module m 'modules/part.bicep' = {
          name: 'm'
          params: { name: vault.getSecret('part', '7') }
        }
        """,
    )
    assert template["resources"][0]["properties"]["parameters"]["name"] == {
        "reference": {
            "keyVault": {"id": "[resourceId('Microsoft.KeyVault/vaults', 'v')]"},
            "secretName": "part",
            "secretVersion": "7",
        }
    }


KEYS = """
@secure()
output key string = 'k'
output keys { @secure()
  first: string } = { first: 'k' }
output open string = 'o'
"""


def test_secret_outputs_are_read_with_a_function_of_their_own(folder: Path) -> None:
    (folder / "keys.bicep").write_text(KEYS)
    template = compiled_in(
        folder,
        """
        param on bool
        module one 'keys.bicep' = {
          name: 'one'
        }
        module many 'keys.bicep' = [for i in range(0, 2): if (on) {
          name: 'many-${i}'
        }]
        module user 'modules/part.bicep' = {
          name: one.outputs.open
          params: { name: '${one.outputs.key}${one.outputs.keys.first}${one.outputs.open}' }
        }
        output last string = many[1].outputs.?key ?? many[0].?outputs.key
        """.replace("name: one.outputs.open", "name: 'user'"),
    )
    read = "listOutputsWithSecureValues('one', '2025-04-01')"
    assert template["languageVersion"] == "2.0"
    assert template["resources"]["user"]["properties"]["parameters"]["name"]["value"] == (
        f"[format('{{0}}{{1}}{{2}}', {read}.key, {read}.keys.first, reference('one').outputs.open.value)]"
    )
    assert template["resources"]["user"]["dependsOn"] == ["one"]
    one, zero = (
        f"listOutputsWithSecureValues(format('many[{{0}}]', {number}), '2025-04-01')" for number in (1, 0)
    )
    assert template["outputs"]["last"]["value"] == (
        f"[coalesce(tryGet({one}, 'key'), tryGet(if(parameters('on'), {zero}, null()), 'key'))]"
    )


def test_a_condition_in_a_parameter_chooses_between_objects(folder: Path) -> None:
    template = compiled_in(
        folder,
        """
        param on bool
        resource vault 'Microsoft.KeyVault/vaults@2023-07-01' existing = {
          name: 'v'
        }
        module m 'modules/part.bicep' = {
          name: 'm'
          params: { name: on ? vault.getSecret('s') : (on ? 'a' : any('b')), size: any(on ? 1 : 2)! }
        }
        """,
    )
    parameters = template["resources"][0]["properties"]["parameters"]
    vault = "createObject('keyVault', createObject('id', resourceId('Microsoft.KeyVault/vaults', 'v'))"
    assert parameters["name"] == (
        f"[if(parameters('on'), createObject('reference', {vault}, 'secretName', 's')),"
        " if(parameters('on'), createObject('value', 'a'), createObject('value', 'b')))]"
    )
    assert parameters["size"] == "[if(parameters('on'), createObject('value', 1), createObject('value', 2))]"


def test_a_loop_in_a_parameter_is_an_expression(folder: Path) -> None:
    (folder / "list.bicep").write_text("param items array")
    source = "module m 'list.bicep' = {\n  name: 'm'\n  params: { items: [for i in [1]: BODY] }\n}"
    template = compiled_in(folder, source.replace("BODY", "{ a: i }"))
    assert template["resources"][0]["properties"]["parameters"]["items"]["copy"] == [
        {
            "name": "value",
            "count": "[length(createArray(1))]",
            "input": "[createObject('a', createArray(1)[copyIndex('value')])]",
        }
    ]
    assert "a loop in a loop" in refusal(folder, source.replace("BODY", "{ a: [for j in [1]: j] }"))


def test_a_parameter_whose_type_allows_null_can_be_left_out(folder: Path) -> None:
    (folder / "n.bicep").write_text("type maybe = string?\ntype more = maybe\nparam a more\nparam b maybe!")
    assert "needs the parameter 'b'" in refusal(folder, "module m 'n.bicep' = {\n  name: 'm'\n}")
    compiled_in(folder, "module m 'n.bicep' = {\n  name: 'm'\n  params: { b: '' }\n}")
