"""The template that `remora init` writes: AI Toolkit's contract, Azure's types, its JSON beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.azure.typed_schemas import TypedSchemas
from tests.conformance import evidence

import remora.project
import remora.rollout.replica
from remora.azure.bicep import compile_bicep, template_text

REPOSITORY = Path(__file__).parents[2]
AZURE = evidence.folder()
STOCK = AZURE / "templates"
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
with_azure = pytest.mark.skipif(not AZURE.is_dir(), reason=evidence.ABSENT)


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads(OURS.with_suffix(".json").read_text())
    return shipped


@with_azure
@pytest.mark.parametrize("name", ["inference", "finetuning"])
def test_ai_toolkits_templates_compile(name: str) -> None:
    source = STOCK / f"{name}.bicep"
    expected = json.loads((STOCK / f"{name}.arm.derived.json").read_text())
    assert _any_order(compile_bicep(source.read_text(), source)) == _any_order(expected)


def _any_order(template: dict[str, Any]) -> dict[str, Any]:
    """The template with sorted dependencies: their order means nothing, and Bicep versions differ."""
    resources = [
        {**entry, "dependsOn": sorted(entry["dependsOn"])} if "dependsOn" in entry else entry
        for entry in template["resources"]
    ]
    return {**template, "resources": resources}


@with_azure
def test_our_template_keeps_ai_toolkits_contract(template: dict[str, Any]) -> None:
    stock = json.loads((STOCK / "inference.arm.derived.json").read_text())
    for name, parameter in stock["parameters"].items():
        ours = template["parameters"][name]
        assert ours["type"] == parameter["type"]
        if name != "maximumInstanceCount":
            assert ours.get("defaultValue") == parameter.get("defaultValue")
    required = {name for name, ours in template["parameters"].items() if "defaultValue" not in ours}
    assert required == {"defaultCommands"}
    assert list(stock["outputs"]) == SIX_OUTPUTS


def test_the_compiled_template_that_we_ship_is_current() -> None:
    shipped = OURS.with_suffix(".json").read_text()
    assert shipped == template_text(compile_bicep(OURS.read_text(), OURS)), f"run: {REGENERATE}"


def test_our_template_has_the_six_outputs_in_order_and_hides_the_key(template: dict[str, Any]) -> None:
    assert list(template["outputs"]) == [*SIX_OUTPUTS, "ACA_FRONT_NAME"]
    secure = {"apiKey": "securestring", "adminKey": "securestring", "otherSecrets": "secureObject"}
    assert {name: template["parameters"][name]["type"] for name in secure} == secure
    shown = json.dumps([template["outputs"], template["variables"]])
    assert [name for name in secure if f"parameters('{name}')]" in shown] == []


def test_the_front_is_off_unless_asked_for_and_has_the_same_keys(template: dict[str, Any]) -> None:
    assert template["parameters"]["front"] == {**template["parameters"]["front"], "defaultValue": False}
    front, app = template["resources"][-2:]
    assert (front["condition"], front["name"]) == ("[parameters('front')]", "[parameters('frontAppName')]")
    assert "condition" not in app
    configuration = front["properties"]["configuration"]
    assert "remora-api-key" in configuration["secrets"]
    assert "otherSecrets" not in configuration["secrets"]
    container = front["properties"]["template"]["containers"][0]
    assert container["resources"] == {"cpu": "[json('0.25')]", "memory": "0.5Gi"}
    assert front["properties"]["template"]["scale"] == {"minReplicas": 1, "maxReplicas": 1}


def test_by_default_one_cpu_replica_at_most_and_none_while_nobody_asks(template: dict[str, Any]) -> None:
    defaults = {name: entry.get("defaultValue") for name, entry in template["parameters"].items()}
    assert defaults["workloadProfile"] == "Consumption"
    assert defaults["maximumInstanceCount"] == 1
    assert defaults["minReplicas"] == 0
    assert defaults["otherWorkloadProfiles"] == []
    scale = template["resources"][-1]["properties"]["template"]["scale"]
    assert scale == {
        "minReplicas": "[parameters('minReplicas')]",
        "maxReplicas": "[parameters('maxReplicas')]",
        "cooldownPeriod": "[parameters('cooldownSeconds')]",
        "rules": [
            {
                "name": "http",
                "http": {"metadata": {"concurrentRequests": "[string(parameters('concurrentRequests'))]"}},
            }
        ],
    }


def test_our_probes_stay_within_azures_limits(template: dict[str, Any]) -> None:
    app = template["resources"][-1]["properties"]["template"]
    probes = {probe["type"]: dict(probe) for probe in app["containers"][0]["probes"]}
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


def test_our_container_apps_are_of_the_version_that_is_stable(template: dict[str, Any]) -> None:
    versions = {
        entry["apiVersion"] for entry in template["resources"] if entry["type"].startswith("Microsoft.App/")
    }
    assert versions == {"2025-07-01"}


@with_azure
def test_azures_types_know_every_property_that_we_send(template: dict[str, Any]) -> None:
    schemas = TypedSchemas(AZURE / "types")
    untyped = ("Microsoft.ManagedIdentity/", "Microsoft.Authorization/")  # of which there are no types here
    typed = [entry for entry in template["resources"] if not entry["type"].startswith(untyped)]
    assert len(template["resources"]) - len(typed) == 3
    assert not [problem for entry in typed for problem in schemas.problems(entry)]
    profiles = template["variables"]
    environment = next(e for e in template["resources"] if e["type"] == "Microsoft.App/managedEnvironments")
    for name in ("consumptionProfile", "serverlessProfile", "dedicatedProfile"):
        written_out = {
            **environment,
            "properties": {**environment["properties"], "workloadProfiles": [profiles[name]]},
        }
        assert not list(schemas.problems(written_out))


@with_azure
def test_the_types_would_tell(template: dict[str, Any]) -> None:
    schemas = TypedSchemas(AZURE / "types")
    app = json.loads(json.dumps(template["resources"][-1]))
    app["properties"]["template"]["scale"]["coolDown"] = 1
    app["properties"]["configuration"]["ingress"]["transport"] = "carrier pigeon"
    app["properties"]["provisioningState"] = "Succeeded"
    app["properties"]["template"]["containers"][0]["probes"][0]["periodSeconds"] = "2"
    del app["location"]
    found = [problem.removeprefix("Microsoft.App/containerApps ") for problem in schemas.problems(app)]
    assert sorted(found) == [
        "location: required",
        "properties.configuration.ingress.transport: 'carrier pigeon' is none of its values",
        "properties.provisioningState: read-only",
        "properties.template.containers[0].probes[0].periodSeconds: '2' is no integer",
        "properties.template.scale.coolDown: unknown",
    ]


BOOTSTRAP = Path(remora.rollout.replica.__file__).with_name("bootstrap.py")


def test_the_script_of_the_template_is_the_one_that_is_tested(template: dict[str, Any]) -> None:
    assert template["variables"]["bootstrap"] == BOOTSTRAP.read_text(), (
        f"copy {BOOTSTRAP.name} into {OURS.name}, then run: {REGENERATE}"
    )


def test_a_share_is_mounted_or_read_by_an_identity_and_never_both(template: dict[str, Any]) -> None:
    """What depends on the way to the share has a condition; with a key nothing of an identity is made."""
    conditions = {
        entry["type"].rpartition("/")[2]: entry["condition"]
        for entry in template["resources"]
        if "condition" in entry and entry["type"] != "Microsoft.Authorization/roleAssignments"
    }
    assert conditions == {
        "containerApps": "[parameters('front')]",
        "userAssignedIdentities": "[variables('byIdentity')]",
        "storages": "[not(variables('byIdentity'))]",
    }
    roles = [entry for entry in template["resources"] if entry["type"].endswith("/roleAssignments")]
    assert all("variables('byIdentity')" in entry["condition"] for entry in roles)
    apps = [entry for entry in template["resources"] if entry["type"] == "Microsoft.App/containerApps"]
    assert len(apps) == 2  # the model's, and its front
    assert {app["identity"] for app in apps} == {"[variables('readerIdentity')]"}
    identity = template["variables"]["readerIdentity"]
    assert identity.startswith("[if(variables('byIdentity'), createObject(")
    assert identity.endswith(", null())]")
