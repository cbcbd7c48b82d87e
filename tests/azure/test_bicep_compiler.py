"""Bicep compiles to the template that the Bicep CLI's conventions give, or is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import remora.project
from remora.azure.bicep import compile_bicep, template_text
from remora.errors import InvalidFile

REPOSITORY = Path(__file__).parents[2]
STOCK = REPOSITORY.parent / "shared" / "azure" / "templates"
OURS = Path(remora.project.__file__).parent / "template" / "inference.bicep"
REGENERATE = (
    'python -c "from pathlib import Path; from remora.azure.bicep import compile_bicep, template_text;'
    f" p = Path('{OURS.relative_to(REPOSITORY)}');"
    " p.with_suffix('.json').write_text(template_text(compile_bicep(p.read_text(), p)))\""
)
SIX_OUTPUTS = [
    "SUBSCRIPTION_ID",
    "RESOURCE_GROUP_NAME",
    "STORAGE_ACCOUNT_NAME",
    "FILE_SHARE_NAME",
    "ACA_APP_NAME",
    "ACA_APP_ENDPOINT",
]


def compiled(source: str) -> dict[str, object]:
    return json.loads(template_text(compile_bicep(source, Path("x.bicep"))))  # type: ignore[no-any-return]


def variable(expression: str, before: str = "") -> object:
    """What a variable of this expression becomes."""
    variables = compiled(f"param p string\nparam n int\n{before}\nvar v = {expression}\n")["variables"]
    assert isinstance(variables, dict)
    return variables["v"]


@pytest.mark.skipif(not STOCK.is_dir(), reason="AI Toolkit's templates are not beside the checkout")
@pytest.mark.parametrize("name", ["inference", "finetuning"])
def test_ai_toolkits_templates_compile(name: str) -> None:
    source = STOCK / f"{name}.bicep"
    expected = json.loads((STOCK / f"{name}.arm.derived.json").read_text())
    assert compile_bicep(source.read_text(), source) == expected


@pytest.mark.skipif(not STOCK.is_dir(), reason="AI Toolkit's templates are not beside the checkout")
def test_our_template_keeps_ai_toolkits_contract() -> None:
    ours = compile_bicep(OURS.read_text(), OURS)
    stock = json.loads((STOCK / "inference.arm.derived.json").read_text())
    parameters = ours["parameters"]
    assert isinstance(parameters, dict)
    for name, parameter in stock["parameters"].items():
        kept = parameters[name]
        assert isinstance(kept, dict)
        assert (kept["type"], kept.get("defaultValue")) == (parameter["type"], parameter.get("defaultValue"))
    required = {
        name for name, kept in parameters.items() if isinstance(kept, dict) and "defaultValue" not in kept
    }
    assert required == {"defaultCommands", "maximumInstanceCount"}
    assert list(stock["outputs"]) == SIX_OUTPUTS


def test_the_compiled_template_that_we_ship_is_current() -> None:
    shipped = OURS.with_suffix(".json").read_text()
    assert shipped == template_text(compile_bicep(OURS.read_text(), OURS)), f"run: {REGENERATE}"


def test_our_template_has_the_six_outputs_in_order_and_hides_the_key() -> None:
    template = json.loads(OURS.with_suffix(".json").read_text())
    assert list(template["outputs"]) == SIX_OUTPUTS
    assert template["parameters"]["apiKey"]["type"] == "securestring"
    assert "apiKey" not in json.dumps(template["outputs"])


def test_our_probes_stay_within_azures_limits() -> None:
    template = json.loads(OURS.with_suffix(".json").read_text())
    app = template["resources"][-1]["properties"]["template"]
    probes = {probe["type"]: probe for probe in app["containers"][0]["probes"]}
    assert {kind: probe["httpGet"]["path"] for kind, probe in probes.items()} == {
        "Readiness": "/readyz",
        "Liveness": "/healthz",
    }
    minutes = template["parameters"]["startMinutes"]
    assert probes["Liveness"].pop("periodSeconds") == "[mul(parameters('startMinutes'), 6)]"
    assert 1 <= minutes["minValue"] * 6 <= minutes["maxValue"] * 6 <= 240
    for probe in probes.values():
        assert 1 <= probe["initialDelaySeconds"] <= 60
        assert 1 <= probe.get("periodSeconds", 10) <= 240
        assert 1 <= probe["timeoutSeconds"] <= 240
        assert 1 <= probe["failureThreshold"] <= 10
    assert probes["Liveness"]["timeoutSeconds"] >= 5


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'plain'", "plain"),
        ("'[looks like an expression]'", "[[looks like an expression]"),
        (r"'it\'s \u{e9} \$ \\'", "it's é $ \\"),
        ("'a${p}b${n}'", "[format('a{0}b{1}', parameters('p'), parameters('n'))]"),
        ("'{${p}}'", "[format('{{{0}}}', parameters('p'))]"),
        ("concat(p, 'it\\'s')", "[concat(parameters('p'), 'it''s')]"),
        ("-3", -3),
        ("true", True),
        ("null", None),
        ("'  ${p}  ${n}  '", "[format('  {0}  {1}  ', parameters('p'), parameters('n'))]"),
        ("'${p}'", "[format('{0}', parameters('p'))]"),
        ("''", ""),
        ("p == 'a' && n > 2 || !empty(p)",
         "[or(and(equals(parameters('p'), 'a'), greater(parameters('n'), 2)), not(empty(parameters('p'))))]"),
        ("p != 'a' ? (n + 1) * 6 : -n",
         "[if(not(equals(parameters('p'), 'a')), mul(add(parameters('n'), 1), 6), sub(0, parameters('n')))]"),
        ("p ?? 'x'", "[coalesce(parameters('p'), 'x')]"),
        ("p =~ 'A'", "[equals(toLower(parameters('p')), toLower('A'))]"),
        ("empty(p) ? [] : [{ a: null, 'b-c': false }]", "[if(empty(parameters('p')), createArray(), "
         "createArray(createObject('a', null(), 'b-c', false())))]"),
        ("{ a: [p, 'x'] }", {"a": ["[parameters('p')]", "x"]}),
        ("resourceGroup().tags['owner'].x[0]", "[resourceGroup().tags.owner.x[0]]"),
        ("'''\nraw ${p}'''", "raw ${p}"),
    ],
)  # fmt: skip
def test_expressions(expression: str, expected: object) -> None:
    assert variable(expression) == expected


def test_parameters_carry_their_decorators() -> None:
    template = compiled(
        """
        @description('Which.')
        @allowed(['a', 'b'])
        param kind string = 'a'
        @secure()
        param key string
        @minValue(1)
        @maxValue(9)
        param count int = 2
        @secure()
        param things object = {}
        """
    )
    assert template["parameters"] == {
        "kind": {
            "type": "string",
            "defaultValue": "a",
            "allowedValues": ["a", "b"],
            "metadata": {"description": "Which."},
        },
        "key": {"type": "securestring"},
        "count": {"type": "int", "defaultValue": 2, "minValue": 1, "maxValue": 9},
        "things": {"type": "secureObject", "defaultValue": {}},
    }


RESOURCES = """
param name string
resource outer 'My.App/envs@2024-01-01' = {
  name: name
}
resource inner 'My.App/envs/parts@2024-01-01' = if (name != 'x') {
  parent: outer
  name: 'part'
  properties: {
    id: outer.id
    host: outer.properties.domain.name
    key: outer.listKeys('now').first
    place: outer.location
    kind: outer.type
  }
}
"""


def test_resources_name_their_parents_and_what_they_need() -> None:
    resources = compiled(RESOURCES)["resources"]
    assert isinstance(resources, list)
    outer, inner = resources
    outer_id = "resourceId('My.App/envs', parameters('name'))"
    assert "dependsOn" not in outer
    assert inner == {
        "condition": "[not(equals(parameters('name'), 'x'))]",
        "type": "My.App/envs/parts",
        "apiVersion": "2024-01-01",
        "name": "[format('{0}/{1}', parameters('name'), 'part')]",
        "properties": {
            "id": f"[{outer_id}]",
            "host": f"[reference({outer_id}, '2024-01-01').domain.name]",
            "key": f"[listKeys({outer_id}, '2024-01-01', 'now').first]",
            "place": f"[reference({outer_id}, '2024-01-01', 'full').location]",
            "kind": "['My.App/envs']",
        },
        "dependsOn": [f"[{outer_id}]"],
    }


def test_a_variable_that_names_a_resource_is_written_out() -> None:
    template = compiled(RESOURCES + "var d = outer.properties.domain\noutput host string = 'x.${d}'\n")
    assert template["variables"] == {}
    assert template["outputs"] == {
        "host": {
            "type": "string",
            "value": "[format('x.{0}', "
            "reference(resourceId('My.App/envs', parameters('name')), '2024-01-01').domain)]",
        }
    }


@pytest.mark.parametrize(
    ("source", "line", "named"),
    [
        ("param a string\nparam b string = ", 2, ""),
        ("var a = [for i in range(0, 3): i]", 1, "for"),
        ("module m 'x.bicep' = {\n  name: 'm'\n}", 1, "module"),
        ("import 'x@1'", 1, ""),
        ("targetScope = 'subscription'", 1, ""),
        ("\nresource r 'A.B/c@2024-01-01' existing = {\n  name: 'r'\n}", 2, "existing"),
        ("resource r 'A.B/c' = {\n  name: 'r'\n}", 1, "API version"),
        ("resource r 'A.B/c@2024-01-01' = {\n  location: 'x'\n}", 1, "no name"),
        ("resource r 'A.B/c/d@2024-01-01' = {\n  name: 'r'\n}", 1, "parent"),
        ("resource r 'A.B/c@2024-01-01' = {\n  name: 'r'\n  x: r.id\n}", 1, "itself"),
        ("var a = map([1], x => x)", 1, ""),
        ("var a = loadTextContent('/etc/passwd')", 1, "loadTextContent"),
        ("var a = nothing", 1, "nothing"),
        ("var a = b\nvar b = a", 1, "itself"),
        ("var a = 1\nvar a = 2", 2, "twice"),
        ("var a = { b: 1, b: 2 }", 1, "twice"),
        ("param a string[]", 1, "string[]"),
        ("param a 'x' | 'y'", 1, "'x' | 'y'"),
        ("param a object\nvar b = a.?c", 2, "safe"),
        ("param a object\nvar b = a!.c", 2, ""),
        ("@batchSize(1)\nparam a string", 1, "batchSize"),
        ("@secure()\nparam a int", 2, "secure"),
        ("type t = string", 1, "type"),
    ],
)  # fmt: skip
def test_what_is_outside_the_subset_is_refused_with_its_line(source: str, line: int, named: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        compile_bicep(source, Path("infra/x.bicep"))
    assert caught.value.message.startswith(f"infra/x.bicep:{line}: ")
    assert named in caught.value.message
    assert "az bicep install" in caught.value.hint


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InvalidFile):
        compile_bicep("var a = " + "(" * 5000 + "1" + ")" * 5000, Path("x.bicep"))
