"""What-if: what a deployment would change, told without changing anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError
from tests.conformance import evidence
from tests.emulator.arm.templates import Json, inner, nested, run, template, workspace

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

_VERSION = {"api-version": "2022-09-01"}
_ACCOUNT: Json = {
    "type": "Microsoft.Storage/storageAccounts",
    "apiVersion": "2023-01-01",
    "name": "whatfiles",
    "location": "[resourceGroup().location]",
    "sku": {"name": "[parameters('sku')]"},
    "kind": "StorageV2",
    "properties": {"accessTier": None, "minimumTlsVersion": "TLS1_2"},
}
_STOCK = evidence.folder() / "templates" / "inference.arm.derived.json"
_SKU: Json = {"sku": {"type": "string", "defaultValue": "Standard_LRS"}}


@pytest.fixture
def shared(cloud: RunningCloud) -> RunningCloud:
    for name in ("here", "there"):
        cloud.resources().resource_groups.create_or_update(name, {"location": "eastus"})
    return cloud


def ask(cloud: RunningCloud, body: Json, *, settings: Json | None = None, **parameters: Any) -> Any:
    values = {key: {"value": value} for key, value in parameters.items()}
    properties = {"template": body, "parameters": values, "mode": "Incremental", "whatIfSettings": settings}
    client = cloud.deployments().deployments
    return client.begin_what_if("here", "asked", {"properties": properties}).result()


def kinds(result: Any) -> Json:
    return {change.resource_id.rsplit("/", 1)[1]: change.change_type for change in result.changes}


def test_create_modify_no_change_and_ignore(shared: RunningCloud) -> None:
    run(shared, template([_ACCOUNT, workspace("stays-same"), workspace("other-one")], parameters=_SKU))
    again = template(
        [_ACCOUNT, workspace("stays-same"), workspace("brand-new", tags={"a": "b"})], parameters=_SKU
    )
    before = list(shared.resources().resources.list())
    result = ask(shared, again, sku="Standard_GRS")
    assert result.status == "Succeeded"
    assert kinds(result) == {
        "whatfiles": "Modify",
        "stays-same": "NoChange",
        "brand-new": "Create",
        "other-one": "Ignore",
    }
    changes = {change.resource_id.rsplit("/", 1)[1]: change for change in result.changes}
    (delta,) = changes["whatfiles"].delta
    assert (delta.path, delta.property_change_type) == ("sku.name", "Modify")
    assert (delta.before, delta.after) == ("Standard_LRS", "Standard_GRS")
    assert changes["whatfiles"].after["sku"]["name"] == "Standard_GRS"
    assert changes["brand-new"].before is None
    assert changes["brand-new"].after["tags"] == {"a": "b"}
    assert len(before) == len(list(shared.resources().resources.list()))
    assert not shared.deployments().deployments.check_existence("here", "asked")


def test_ids_only(shared: RunningCloud) -> None:
    run(shared, template([workspace("was-there")]))
    body = template([workspace("was-there"), workspace("brand-new")])
    result = ask(shared, body, settings={"resultFormat": "ResourceIdOnly"})
    assert kinds(result) == {"was-there": "Deploy", "brand-new": "Create"}
    assert all(change.after is None and change.delta is None for change in result.changes)


def test_objects_and_arrays_are_compared_part_by_part(shared: RunningCloud) -> None:
    def logs(**properties: Any) -> Json:
        return template(
            [workspace("parts", tags={"keep": "1", **properties.pop("tags", {})}, properties=properties)]
        )

    run(shared, logs(retentionInDays=30, tags={"old": "1"}, features={"list": [1, {"a": 1, "b": 2}, 3]}))
    result = ask(
        shared, logs(retentionInDays=60, tags={"new": "2"}, features={"list": [1, {"a": 1, "b": 5}, 3, 4]})
    )
    (change,) = result.changes
    delta = {item.path: (item.property_change_type, item.before, item.after) for item in change.delta}
    assert delta == {
        "properties.features.list": ("Array", None, None),
        "properties.retentionInDays": ("Modify", 30, 60),
        "tags.old": ("Delete", "1", None),
        "tags.new": ("Create", None, "2"),
    }
    (parts,) = [item.children for item in change.delta if item.children]
    assert [(item.path, item.property_change_type) for item in parts] == [("1", "Modify"), ("3", "Create")]
    assert [(item.path, item.before, item.after) for item in parts[0].children] == [("b", 2, 5)]


def test_what_cannot_be_known_yet_stays_an_expression(shared: RunningCloud) -> None:
    unknown = "[reference('made-later').customerId]"
    body = template(
        [
            workspace("made-later"),
            workspace("uses-it", tags={"id": unknown}),
            nested("inside", template(), properties=inner(id=unknown), resourceGroup="there"),
            nested("known", template([workspace("deep")]), resourceGroup="there"),
        ]
    )
    result = ask(shared, body)
    assert kinds(result) == {"made-later": "Create", "uses-it": "Create", "deep": "Create"}
    after = {change.resource_id.rsplit("/", 1)[1]: change.after for change in result.changes}
    assert after["uses-it"]["tags"] == {"id": unknown}
    run(shared, template([workspace("made-later")]))
    after = {change.resource_id.rsplit("/", 1)[1]: change.after for change in ask(shared, body).changes}
    assert len(after["uses-it"]["tags"]["id"]) == 36


def test_secrets_are_neither_fetched_nor_shown(shared: RunningCloud) -> None:
    run(shared, template([_ACCOUNT], parameters=_SKU))
    key = "[listKeys('whatfiles', '2023-01-01').keys[0].value]"
    result = ask(shared, template([_ACCOUNT, workspace("x-logs", tags={"key": key})], parameters=_SKU))
    known = shared.storage().storage_accounts.list_keys("here", "whatfiles").keys_property[0].value
    told = json.dumps([change.as_dict() for change in result.changes])
    assert known not in told
    assert key in told


def test_the_wire_is_the_recorded_one(shared: RunningCloud) -> None:
    path = f"{shared.groups_path}/here/providers/Microsoft.Resources/deployments/wire/whatIf"
    with shared.http() as http:
        asked = http.post(
            path, params=_VERSION, json={"properties": {"template": template(), "mode": "Incremental"}}
        )
        result = http.get(asked.headers["location"])
    assert (asked.status_code, asked.content) == (202, b"")
    assert "/operationresults/" in asked.headers["location"]
    assert result.status_code == 200
    assert result.json()["status"] == "Succeeded"
    assert set(result.json()["properties"]) == {"correlationId", "changes"}


def test_a_group_that_a_subscription_deployment_would_make(shared: RunningCloud) -> None:
    group = {
        "type": "Microsoft.Resources/resourceGroups",
        "apiVersion": "2022-09-01",
        "name": "here",
        "location": "eastus",
        "tags": {"a": "b"},
    }
    body = template([group, {**group, "name": "brand-new"}])
    properties = {"template": body, "mode": "Incremental"}
    client = shared.deployments().deployments
    asked = {"location": "eastus", "properties": properties}
    result = client.begin_what_if_at_subscription_scope("asked", asked).result()
    assert kinds(result) == {"here": "Modify", "brand-new": "Create"}
    assert [item.path for item in result.changes[0].delta] == ["tags"]


def test_what_would_be_refused_is_told(shared: RunningCloud) -> None:
    result = ask(shared, template([{**_ACCOUNT, "name": "Bad-Name"}], parameters=_SKU))
    assert (result.status, result.error.code) == ("Failed", "AccountNameInvalid")
    with pytest.raises(HttpResponseError, match="InvalidTemplate"):
        ask(shared, template([workspace("[nosuch()]")]))


@pytest.mark.skipif(not _STOCK.exists(), reason=f"{_STOCK} is not there")
def test_the_stock_template_says_no_change_when_it_is_deployed_again(shared: RunningCloud) -> None:
    body = json.loads(_STOCK.read_text())
    values: Json = {
        "defaultCommands": ["python3 -m http.server $PORT"],
        "maximumInstanceCount": 1,
        "location": "westus3",  # where its GPU is offered
    }
    assert set(kinds(ask(shared, body, **values)).values()) == {"Create"}
    run(shared, body, **values)
    result = ask(shared, body, **values)
    assert set(kinds(result).values()) == {"NoChange"}, [
        (change.resource_id, [(item.path, item.before, item.after) for item in change.delta or ()])
        for change in result.changes
    ]
