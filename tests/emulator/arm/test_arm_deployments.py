"""Template deployments through Microsoft's client: what is accepted, what is answered, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

Deploy = Callable[..., Any]

_ACCOUNT: dict[str, Any] = {
    "type": "Microsoft.Storage/storageAccounts",
    "apiVersion": "2023-01-01",
    "name": "[parameters('account')]",
    "location": "[resourceGroup().location]",
    "sku": {"name": "Standard_LRS"},
    "kind": "StorageV2",
}
_SHARE: dict[str, Any] = {
    "type": "Microsoft.Storage/storageAccounts/fileServices/shares",
    "apiVersion": "2023-01-01",
    "name": "[format('{0}/default/{1}', parameters('account'), 'data')]",
    "properties": {"shareQuota": "[parameters('quota')]"},
    "dependsOn": ["[resourceId('Microsoft.Storage/storageAccounts', parameters('account'))]"],
}
_WORKSPACE: dict[str, Any] = {
    "type": "Microsoft.OperationalInsights/workspaces",
    "apiVersion": "2022-10-01",
    "name": "mylogs",
    "location": "eastus",
    "tags": {"file": "[reference(parameters('account')).primaryEndpoints.file]"},
}


def template(*resources: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {
            "account": {"type": "string", "defaultValue": "[concat('files', uniqueString('a', 'b'))]"},
            "quota": {"type": "int", "defaultValue": 100, "minValue": 1, "maxValue": 1024},
            "secret": {"type": "securestring", "defaultValue": ""},
        },
        "resources": list(resources),
        **sections,
    }


def test_a_deployment_from_start_to_end(cloud: RunningCloud, deploy: Deploy) -> None:
    keys = "listKeys(resourceId('Microsoft.Storage/storageAccounts', parameters('account')), '2023-01-01')"
    outputs = {
        "ACCOUNT_NAME": {"type": "string", "value": "[parameters('account')]"},
        "shares": {"type": "int", "value": "[length(createArray(1))]"},
        "keyCount": {"type": "int", "value": f"[length({keys}.keys)]"},
        "secretOut": {"type": "secureString", "value": f"[{keys}.keys[0].value]"},
        "skipped": {"type": "string", "value": "x", "condition": "[equals(1, 2)]"},
        "kind": {
            "type": "string",
            "value": "[reference(parameters('account'), '2023-01-01', 'full').kind]",
        },
    }
    # in an order that only the dependencies make possible
    done = deploy(
        template(_SHARE, _WORKSPACE, _ACCOUNT, outputs=outputs),
        {"account": {"value": "myfiles"}, "quota": {"value": None}, "secret": {"value": "hidden"}},
    )
    properties = done.properties
    assert properties.provisioning_state == "Succeeded"
    assert properties.outputs == {
        "accounT_NAME": {"type": "String", "value": "myfiles"},
        "shares": {"type": "Int", "value": 1},
        "keyCount": {"type": "Int", "value": 2},
        "secretOut": {"type": "SecureString"},
        "kind": {"type": "String", "value": "StorageV2"},
    }
    assert properties.parameters == {
        "account": {"type": "String", "value": "myfiles"},
        "quota": {"type": "Int", "value": 100},
        "secret": {"type": "SecureString"},
    }
    assert {item.id.rsplit("/", 1)[1] for item in properties.output_resources} == {
        "myfiles",
        "data",
        "mylogs",
    }
    assert {item.resource_name for item in properties.dependencies} == {"myfiles/default/data", "mylogs"}
    assert (cloud.folder / "shares" / "myfiles" / "data").is_dir()
    with cloud.http() as http:
        url = f"{cloud.groups_path}/work/providers/Microsoft.OperationalInsights/workspaces/mylogs"
        workspace = http.get(url, params={"api-version": "2022-10-01"}).json()
    assert workspace["tags"] == {"file": f"{cloud.connection.files_url}/myfiles/"}


def test_the_wire_of_a_deployment_is_the_recorded_one(cloud: RunningCloud, group: str) -> None:
    url = f"{cloud.groups_path}/{group}/providers/Microsoft.Resources/deployments/first"
    version = {"api-version": "2022-09-01"}
    body = {"properties": {"template": template(_ACCOUNT), "mode": "Incremental"}}
    with cloud.http() as http:
        created = http.put(url, params=version, json=body)
        status_url = created.headers["azure-asyncoperation"]
        states = [http.get(status_url).json()]
        while states[-1]["status"] not in ("Succeeded", "Failed"):
            states.append(http.get(status_url).json())
        again = http.put(url, params=version, json=body)
        first_hash = http.get(url, params=version).json()["properties"]["templateHash"]
    assert created.status_code == 201
    assert created.json()["properties"]["provisioningState"] == "Accepted"
    assert created.json()["properties"]["providers"] == [
        {
            "namespace": "Microsoft.Storage",
            "resourceTypes": [{"resourceType": "storageAccounts", "locations": ["eastus"]}],
        }
    ]
    assert status_url.startswith(f"{cloud.connection.arm_url}/subscriptions/")
    assert status_url.split("?")[0].rsplit("/", 1)[1].isdigit()
    assert states[-1] == {"status": "Succeeded"}
    assert {state["status"] for state in states} <= {"Accepted", "Running", "Succeeded"}
    assert again.status_code == 200
    assert first_hash == created.json()["properties"]["templateHash"]


def test_operations_name_every_resource(cloud: RunningCloud, group: str, deploy: Deploy) -> None:
    deploy(template(_ACCOUNT, _SHARE, outputs={"a": {"type": "string", "value": "x"}}))
    entries = list(cloud.deployments().deployment_operations.list(group, "first"))
    states = {
        entry.properties.target_resource.resource_type: entry.properties.status_code
        for entry in entries
        if entry.properties.target_resource
    }
    assert states == {
        "Microsoft.Storage/storageAccounts": "OK",  # of the last poll of its operation
        "Microsoft.Storage/storageAccounts/fileServices/shares": "Created",
    }
    kinds = {entry.properties.provisioning_operation for entry in entries}
    assert kinds == {"Create", "EvaluateDeploymentOutput"}
    one = cloud.deployments().deployment_operations.get(group, "first", entries[0].operation_id)
    assert one.id == entries[0].id


def test_a_failed_resource_fails_the_deployment_and_holds_back_its_dependents(
    cloud: RunningCloud, group: str, deploy: Deploy
) -> None:
    bad = {**_ACCOUNT, "name": "Bad-Name"}
    held_back = {**_WORKSPACE, "tags": {}, "dependsOn": ["Bad-Name"]}
    last = {**held_back, "name": "last-one", "dependsOn": ["mylogs"]}
    with pytest.raises(HttpResponseError, match="DeploymentFailed") as failure:
        deploy(template(bad, held_back, last))
    assert "AccountNameInvalid" in str(failure.value)
    record = cloud.deployments().deployments.get(group, "first")
    assert record.properties.provisioning_state == "Failed"
    assert record.properties.error.code == "DeploymentFailed"
    assert [detail.code for detail in record.properties.error.details] == ["AccountNameInvalid"]
    (entry,) = cloud.deployments().deployment_operations.list(group, "first")
    assert entry.properties.provisioning_state == "Failed"
    assert entry.properties.status_message.error.code == "AccountNameInvalid"
    assert list(cloud.resources().resources.list_by_resource_group(group)) == []


def test_a_child_that_does_not_wait_for_its_parent_fails(deploy: Deploy) -> None:
    with pytest.raises(HttpResponseError, match="ParentResourceNotFound"):
        deploy(template(_ACCOUNT, {**_SHARE, "dependsOn": []}))


def test_outputs_that_cannot_be_evaluated_fail_the_deployment(deploy: Deploy) -> None:
    wrong = {"bad": {"type": "string", "value": "[reference(parameters('account')).nosuch]"}}
    with pytest.raises(HttpResponseError, match="DeploymentOutputEvaluationFailed"):
        deploy(template(_ACCOUNT, outputs=wrong))


def test_conditions_and_redeployment(cloud: RunningCloud, deploy: Deploy) -> None:
    off = {**_WORKSPACE, "condition": "[equals(1, 2)]", "tags": {}}
    after = {**_SHARE, "dependsOn": [*_SHARE["dependsOn"], "mylogs"]}
    first = deploy(template(_ACCOUNT, off, after))
    second = deploy(template(_ACCOUNT, off, after), name="second")
    assert {item.id for item in first.properties.output_resources} == {
        item.id for item in second.properties.output_resources
    }
    types = {item.type for item in cloud.resources().resources.list()}
    assert types == {"Microsoft.Storage/storageAccounts"}
    names = [item.name for item in cloud.deployments().deployments.list_by_resource_group("work")]
    assert names == ["first", "second"]


def test_symbolic_names_are_understood(deploy: Deploy) -> None:
    resources = {
        "logs": {**_WORKSPACE, "tags": {"kind": "[reference('files', '2023-01-01', 'full').kind]"}},
        "files": _ACCOUNT,
        "data": {**_SHARE, "dependsOn": ["files"]},
    }
    symbolic = {**template(), "languageVersion": "2.0", "resources": resources}
    assert deploy(symbolic).properties.provisioning_state == "Succeeded"


def test_validate_changes_nothing(cloud: RunningCloud, group: str) -> None:
    client = cloud.deployments().deployments
    body = {"properties": {"template": template(_ACCOUNT), "mode": "Incremental"}}
    result = client.begin_validate(group, "first", body).result()
    assert result.properties.provisioning_state == "Succeeded"
    assert len(result.properties.validated_resources) == 1
    assert not client.check_existence(group, "first")
    assert list(cloud.resources().resources.list_by_resource_group(group)) == []


def test_a_missing_parameter_is_told_as_recorded(cloud: RunningCloud, group: str) -> None:
    """Line and column are those of the definition's brace in the request."""
    body = (
        '{"properties": {"mode": "Incremental", "parameters": {}, "template": {\n'
        '  "resources": [],\n  "parameters": {\n    "extra_param": {"type": "string"}}}}}'
    )
    url = f"{cloud.groups_path}/{group}/providers/Microsoft.Resources/deployments/first"
    with cloud.http() as http:
        answers = [
            http.put(url, params={"api-version": "2022-09-01"}, content=body),
            http.post(f"{url}/validate", params={"api-version": "2022-09-01"}, content=body),
        ]
    for answer in answers:
        assert answer.status_code == 400
        assert answer.headers["x-ms-failure-cause"] == "gateway"
        assert answer.json()["error"] == {
            "code": "InvalidTemplate",
            "message": "Deployment template validation failed: 'The value for the template parameter"
            " 'extra_param' at line '4' and column '20' is not provided. Please see"
            " https://aka.ms/arm-create-parameter-file for usage details.'.",
            "additionalInfo": [
                {
                    "type": "TemplateViolation",
                    "info": {
                        "lineNumber": 4,
                        "linePosition": 20,
                        "path": "properties.template.parameters.extra_param",
                    },
                }
            ],
        }


_NEEDS_NAME = {"parameters": {"n": {"type": "string"}}}


@pytest.mark.parametrize(
    ("body", "parameters", "reason"),
    [
        (template({**_ACCOUNT, "name": "[nosuch()]"}), {}, "function 'nosuch' is not valid"),
        (template({**_ACCOUNT, "copy": {"count": 2}}), {}, "must be an object with 'name'"),
        (template({**_ACCOUNT, "name": "a/b"}), {}, "incorrect segment lengths"),
        (template({**_ACCOUNT, "dependsOn": ["nobody"]}), {}, "'nobody' is not defined"),
        (template(_ACCOUNT, _ACCOUNT), {}, "defined multiple times"),
        (template({**_ACCOUNT, "apiVersion": None}), {}, "'apiVersion' property is required"),
        (template({**_ACCOUNT, "name": "[reference('x').y]"}), {}, "'reference' is not expected"),
        (template(surprise=1), {}, "Could not find member 'surprise'"),
        (template(), {"nosuch": {"value": 1}}, "do not correspond to any parameters"),
        (template(), {"quota": {"value": "100"}}, "Expected a value of type 'Int'"),
        (template(), {"quota": {"value": True}}, "Expected a value of type 'Int'"),
        (template(), {"quota": {"value": 2000}}, "between '1' and '1024'"),
        (template(), {"quota": 5}, "not an object with 'value'"),
        ({**template(), **_NEEDS_NAME}, {"n": {"value": None}}, "'n' at line"),
        ({**template(), "parameters": {"n": {"type": "float"}}}, {}, "has the type 'float'"),
        (
            template(
                {**_WORKSPACE, "tags": {}, "dependsOn": ["other-logs"]},
                {**_WORKSPACE, "name": "other-logs", "tags": {}, "dependsOn": ["mylogs"]},
            ),
            {},
            "Circular dependency",
        ),
    ],
)
def test_templates_that_are_refused(
    cloud: RunningCloud, deploy: Deploy, body: Any, parameters: Any, reason: str
) -> None:
    with pytest.raises(HttpResponseError, match="InvalidTemplate") as refusal:
        deploy(body, parameters)
    assert reason in str(refusal.value)
    assert refusal.value.status_code == 400
    assert not cloud.deployments().deployments.check_existence("work", "first")


def test_what_the_local_cloud_cannot_deploy_is_refused(cloud: RunningCloud, group: str) -> None:
    client = cloud.deployments().deployments
    complete = {"properties": {"template": template(), "mode": "Complete"}}
    with pytest.raises(HttpResponseError, match="'Complete' is not supported"):
        client.begin_create_or_update(group, "first", complete)
    linked = {"properties": {"templateLink": {"uri": "https://example.org/t.json"}, "mode": "Incremental"}}
    with pytest.raises(HttpResponseError, match="linked templates are not supported"):
        client.begin_create_or_update(group, "first", linked)
    unknown = {"properties": {"template": template({**_ACCOUNT, "type": "Microsoft.Web/sites"})}}
    with pytest.raises(ResourceNotFoundError, match="InvalidResourceNamespace"):
        client.begin_create_or_update(group, "first", unknown)


def test_delete_forgets_the_deployment_and_keeps_the_resources(
    cloud: RunningCloud, group: str, deploy: Deploy
) -> None:
    deploy(template(_ACCOUNT))
    client = cloud.deployments().deployments
    with pytest.raises(HttpResponseError, match="DeploymentCannotBeCancelled"):
        client.cancel(group, "first")
    client.begin_delete(group, "first").result()
    assert not client.check_existence(group, "first")
    assert len(list(cloud.resources().resources.list_by_resource_group(group))) == 1


def test_a_failed_deployment_falls_back_to_the_last_that_succeeded(
    cloud: RunningCloud, group: str, deploy: Deploy
) -> None:
    client = cloud.deployments().deployments
    deploy(template(_ACCOUNT), {"account": {"value": "fallback"}}, name="good")
    cloud.storage().storage_accounts.delete(group, "fallback")
    bad: Any = {"template": template({**_ACCOUNT, "name": "Bad-Name"}), "mode": "Incremental"}
    checked = client.begin_validate(
        group, "bad", {"properties": {**bad, "onErrorDeployment": {"type": "LastSuccessful"}}}
    ).result()
    assert checked.properties.on_error_deployment.deployment_name == "good"
    named = {"type": "SpecificDeployment", "deploymentName": "good"}
    with pytest.raises(HttpResponseError, match="DeploymentFailed"):
        client.begin_create_or_update(
            group, "bad", {"properties": {**bad, "onErrorDeployment": named}}
        ).result()
    while client.get(group, "good").properties.provisioning_state != "Succeeded":
        assert client.get(group, "bad").properties.provisioning_state == "Failed"
    assert cloud.storage().storage_accounts.get_properties(group, "fallback").name == "fallback"
    for wrong in ({"type": "SpecificDeployment", "deploymentName": "none"}, {"type": "Other"}):
        with pytest.raises(HttpResponseError, match=r"cannot be used|is not LastSuccessful"):
            client.begin_create_or_update(group, "x", {"properties": {**bad, "onErrorDeployment": wrong}})
