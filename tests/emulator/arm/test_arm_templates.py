"""Templates beyond a flat list of resources: loops, nested deployments, symbolic names, own functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from tests.emulator.arm.templates import WORKSPACES, Json, inner, nested, run, template, values, workspace

from containerapps_emulator.arm.deployments.deployments import check_quota
from containerapps_emulator.arm.resources.resource import ArmError

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, module_cloud_at: Callable[..., Any]
) -> Iterator[RunningCloud]:
    with module_cloud_at(tmp_path_factory.mktemp("templates") / "cloud") as running:
        for name in ("here", "there"):
            running.resources().resource_groups.create_or_update(name, {"location": "eastus"})
        yield running


def names_in(cloud: RunningCloud, group: str) -> set[str]:
    return {item.name for item in cloud.resources().resources.list_by_resource_group(group)}


def test_resources_in_a_loop(shared: RunningCloud) -> None:
    copies = workspace(
        "[concat('loop-', copyIndex(), '-', copyIndex('many', 10))]",
        copy={"name": "many", "count": "[length(parameters('tags'))]"},
        tags={"which": "[parameters('tags')[copyIndex()]]"},
    )
    after = workspace("loop-last", dependsOn=["many"])
    done = run(
        shared,
        template([after, copies], parameters={"tags": {"type": "array"}}),
        tags=["red", "green"],
    )
    assert {"loop-0-10", "loop-1-11", "loop-last"} <= names_in(shared, "here")
    (dependency,) = done.dependencies
    assert sorted(item.resource_name for item in dependency.depends_on) == ["loop-0-10", "loop-1-11"]
    tags = [
        shared.resources().resources.get_by_id(item.id, api_version="2022-10-01").tags
        for item in done.output_resources
    ]
    assert {"which": "green"} in tags


def test_a_serial_loop_runs_batch_after_batch(shared: RunningCloud) -> None:
    loop = {"name": "slow", "count": 5, "mode": "Serial", "batchSize": 2}
    done = run(shared, template([workspace("[format('serial-{0}', copyIndex())]", copy=loop)]))
    waits = {
        item.resource_name: [before.resource_name for before in item.depends_on] for item in done.dependencies
    }
    assert waits == {
        "serial-2": ["serial-0", "serial-1"],
        "serial-3": ["serial-0", "serial-1"],
        "serial-4": ["serial-2", "serial-3"],
    }


def test_loops_in_variables_properties_and_outputs(shared: RunningCloud) -> None:
    variables = {
        "copy": [{"name": "letters", "count": 3, "input": "[substring('abc', copyIndex('letters'), 1)]"}],
        "inside": {
            "copy": [{"name": "numbers", "count": 2, "input": {"n": "[copyIndex('numbers', 1)]"}}],
            "kept": True,
        },
        "copied": {"copy": ["not", "a", "loop"]},
    }
    outputs = {
        "letters": {"type": "array", "value": "[variables('letters')]"},
        "inside": {"type": "object", "value": "[variables('inside')]"},
        "copied": {"type": "object", "value": "[variables('copied')]"},
        "squares": {"type": "array", "copy": {"count": 3, "input": "[mul(copyIndex(), copyIndex())]"}},
        "none": {"type": "array", "copy": {"count": 0, "input": "x"}},
    }
    assert values(run(shared, template(variables=variables, outputs=outputs))) == {
        "letters": ["a", "b", "c"],
        "inside": {"numbers": [{"n": 1}, {"n": 2}], "kept": True},
        "copied": {"copy": ["not", "a", "loop"]},
        "squares": [0, 1, 4],
        "none": [],
    }


def test_a_nested_template_of_its_own_sees_only_its_parameters(shared: RunningCloud) -> None:
    inside = template(
        [workspace("[parameters('name')]")],
        parameters={"name": {"type": "string"}, "secret": {"type": "securestring"}},
        variables={"greeting": "[concat('inner ', resourceGroup().name, ' ', deployment().name)]"},
        outputs={
            "Greeting": {"type": "string", "value": "[variables('greeting')]"},
            "id": {"type": "string", "value": f"[resourceId('{WORKSPACES}', parameters('name'))]"},
        },
    )
    body = template(
        [
            workspace("outer-one"),
            nested(
                "inner-one",
                inside,
                resourceGroup="there",
                properties=inner(name="[reference('outer-one').sku.name]", secret="hidden"),
            ),
        ],
        variables={"greeting": "outer"},
        outputs={
            "got": {"type": "string", "value": "[reference('inner-one').outputs.greeting.value]"},
            "id": {"type": "string", "value": "[reference('inner-one').outputs.id.value]"},
        },
    )
    done = run(shared, body)
    assert values(done)["got"] == "inner there inner-one"
    assert values(done)["id"].endswith(f"/resourceGroups/there/providers/{WORKSPACES}/PerGB2018")
    assert [item.id.rsplit("/", 1)[1] for item in done.output_resources] == ["outer-one", "PerGB2018"]
    inner_one = shared.deployments().deployments.get("there", "inner-one").properties
    assert inner_one.provisioning_state == "Succeeded"
    assert inner_one.parameters["secret"] == {"type": "SecureString"}
    kinds = [(item.namespace, item.resource_types[0].locations) for item in done.providers]
    assert kinds == [("Microsoft.OperationalInsights", ["eastus"]), ("Microsoft.Resources", [None])]


def test_a_nested_template_by_default_sees_what_is_around_it(shared: RunningCloud) -> None:
    """As recorded: names and resourceGroup() are those of the template around, the place is its own."""
    inside = template(
        [workspace("[concat(parameters('prefix'), copyIndex(), '-', variables('where'))]")],
        variables={"where": "inner"},
        outputs={"where": {"type": "string", "value": "[resourceGroup().name]"}},
    )
    loop = {"name": "both", "count": 2}
    body = template(
        [nested("[concat('out-', copyIndex())]", inside, resourceGroup="[parameters('Other')]", copy=loop)],
        parameters={"prefix": {"type": "string"}, "Other": {"type": "string"}},
        variables={"where": "outer"},
        outputs={"where": {"type": "string", "value": "[reference('out-1').outputs.where.value]"}},
    )
    done = run(shared, body, prefix="around-", Other="there")
    assert {"around-0-outer", "around-1-outer"} <= names_in(shared, "there")
    assert values(done) == {"where": "here"}
    assert set(done.parameters) == {"prefix", "other"}


def test_nested_deployments_are_checked_before_anything_changes(shared: RunningCloud) -> None:
    client = shared.deployments().deployments

    def validate(*resources: Json) -> Any:
        body = {"properties": {"template": template(resources), "mode": "Incremental"}}
        return client.begin_validate("here", "checked", body).result().properties

    found = validate(
        nested("deep", template([nested("deeper", template([workspace("deepest")]))]), resourceGroup="there"),
        workspace("shallow"),
    )
    assert [item.id.rsplit("/", 1)[1] for item in found.validated_resources] == [
        "deep",
        "shallow",
        "deeper",
        "deepest",
    ]
    with pytest.raises(ResourceNotFoundError, match="Resource group 'nowhere' could not be found"):
        validate(nested("lost", template(), resourceGroup="nowhere"))
    with pytest.raises(HttpResponseError, match="linked templates are not supported"):
        validate(
            {
                **nested("linked", {}),
                "properties": {"mode": "Incremental", "templateLink": {"uri": "https://example.org"}},
            }
        )
    with pytest.raises(HttpResponseError, match="never deletes"):
        validate(nested("all", template(), properties={"mode": "Complete"}))


def test_a_nested_failure_fails_the_deployment_around_it(shared: RunningCloud) -> None:
    held_back = workspace("held-back", dependsOn=["fails"])
    with pytest.raises(HttpResponseError, match="DeploymentFailed"):
        run(shared, template([nested("fails", template([workspace("x")])), held_back]), "outside")
    error = shared.deployments().deployments.get("here", "outside").properties.error
    assert error.details[0].code == "DeploymentFailed"
    assert error.details[0].target.endswith("/deployments/fails")
    assert error.details[0].details[0].code == "InvalidResourceName"
    assert "held-back" not in names_in(shared, "here")


def test_symbolic_names_loops_and_existing_resources(shared: RunningCloud) -> None:
    """What Bicep writes for `resource … = [for …]` and `existing`."""
    shared.resources().resources.begin_create_or_update(
        "there",
        "Microsoft.OperationalInsights",
        "",
        "workspaces",
        "was-there",
        api_version="2022-10-01",
        parameters={"location": "eastus", "tags": {"color": "blue"}},
    ).result()
    resources = {
        "old": {
            "existing": True,
            "type": WORKSPACES,
            "apiVersion": "2022-10-01",
            "name": "was-there",
            "resourceGroup": "there",
        },
        "some": workspace(
            "[format('symbol-{0}', range(0, 2)[copyIndex()])]",
            copy={"name": "some", "count": "[length(range(0, 2))]"},
            dependsOn=["old"],
        ),
        "last": workspace(
            "symbol-last",
            tags={"first": "[reference('some[0]', '2022-10-01', 'full').name]"},
            dependsOn=["some"],
        ),
    }
    outputs = {
        "color": {"type": "string", "value": "[reference('old', '2022-10-01', 'full').tags.color]"},
        "keys": {"type": "int", "value": "[length(items(listKeys('old', '2022-10-01')))]"},
        "names": {
            "type": "array",
            "value": "[map(references('some', 'full'), lambda('one', lambdaVariables('one').name))]",
        },
        "maybe": {"type": "string", "nullable": True, "value": "[tryGet(createObject('a', 1), 'b')]"},
    }
    done = run(shared, template(resources, languageVersion="2.0", outputs=outputs))
    assert values(done) == {"color": "blue", "keys": 2, "names": ["symbol-0", "symbol-1"]}
    assert len(done.output_resources) == 3
    found = shared.resources().resources.get_by_id(done.output_resources[2].id, api_version="2022-10-01")
    assert found.tags == {"first": "symbol-0"}


def test_own_functions_and_types(shared: RunningCloud) -> None:
    functions = [
        {
            "namespace": "__bp",
            "members": {
                "twice": {
                    "parameters": [{"name": "word", "type": "string"}],
                    "output": {"type": "string", "value": "[concat(parameters('word'), parameters('word'))]"},
                },
                "fourTimes": {
                    "parameters": [{"name": "word", "type": "string"}],
                    "output": {"type": "string", "value": "[__bp.twice(__bp.twice(parameters('word')))]"},
                },
            },
        }
    ]
    body = template(
        {},
        languageVersion="2.0",
        functions=functions,
        definitions={"color": {"type": "string", "allowedValues": ["red", "blue"]}},
        parameters={"which": {"$ref": "#/definitions/color", "defaultValue": "red"}},
        outputs={
            "four": {"type": "string", "value": "[__bp.fourTimes('a')]"},
            "which": {"$ref": "#/definitions/color", "value": "[parameters('which')]"},
        },
    )
    assert values(run(shared, body)) == {"four": "aaaa", "which": "red"}
    with pytest.raises(HttpResponseError, match="not part of the allowed value"):
        run(shared, body, which="green")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (template([workspace("x", copy={"name": "l", "count": -1})]), "between '0' and '800'"),
        (template([workspace("x", copy={"name": "l", "count": 801})]), "between '0' and '800'"),
        (template([workspace("x", copy={"name": "l", "count": "two"})]), "count 'two'"),
        (template([workspace("same-name", copy={"name": "l", "count": 2})]), "defined multiple times"),
        (template([workspace("[concat('x', copyIndex())]")]), "'copyIndex' is not expected"),
        (
            template([workspace("x", copy={"name": "l", "count": 1}, resources=[workspace("child")])]),
            "both 'copy' and child resources",
        ),
        (template([workspace("x", resourceGroup="there")]), "only allowed for nested deployments"),
        (template([workspace("x", scope="/")]), "uses 'scope'"),
        (template([nested("x", template(), subscriptionId="other")]), "another subscription, 'other'"),
        (
            template([{**workspace("x"), "type": "Microsoft.Resources/resourceGroups"}]),
            "cannot be deployed to a resource group",
        ),
        (template(parameters={"p": {"$ref": "#/definitions/none"}}), "could not be found"),
        (template(functions=[{"namespace": "a"}]), "must have 'members'"),
        (template([workspace("[own.none()]")]), "function 'own.none' is not valid"),
    ],
)
def test_templates_that_are_refused(shared: RunningCloud, body: Json, reason: str) -> None:
    with pytest.raises(HttpResponseError, match="InvalidTemplate") as refusal:
        run(shared, body, "refused")
    assert reason in str(refusal.value)
    assert not shared.deployments().deployments.check_existence("here", "refused")


@pytest.mark.parametrize(
    ("section", "count", "told"),
    [
        ("parameters", 257, "The number of template parameters limit exceeded. Limit: 256 and actual: 257"),
        ("variables", 257, "The number of template variables limit exceeded. Limit: 256 and actual: 257"),
        ("outputs", 65, "The number of template output parameters limit exceeded. Limit: 64 and actual: 65"),
        ("resources", 801, "The number of template resources limit exceeded. Limit: 800 and actual: 801"),
    ],
)
def test_a_template_has_azures_limits(shared: RunningCloud, section: str, count: int, told: str) -> None:
    items: Any = {f"n{number}": {"type": "int", "defaultValue": 1, "value": 1} for number in range(count)}
    if section == "resources":
        items = [workspace(f"w{number}") for number in range(count)]
    with pytest.raises(HttpResponseError, match=re.escape(told)):
        run(shared, {**template([]), section: items})


def test_a_group_has_at_most_800_deployments() -> None:
    check_quota("last", 799)
    with pytest.raises(ArmError, match="would exceed the quota of '800'") as refused:
        check_quota("one-more", 800)
    assert (refused.value.status, refused.value.code) == (409, "DeploymentQuotaExceeded")
