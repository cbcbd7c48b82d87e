"""Builders of templates, and their deployment to the group "here"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

Json = dict[str, Any]
WORKSPACES = "Microsoft.OperationalInsights/workspaces"
_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


def workspace(name: str, **more: Any) -> Json:
    kind = {"type": WORKSPACES, "apiVersion": "2022-10-01", "name": name, "location": "eastus"}
    return kind | more


def template(resources: Any = (), **sections: Any) -> Json:
    listed = resources if isinstance(resources, dict) else list(resources)
    return {"$schema": _SCHEMA, "contentVersion": "1.0.0.0", "resources": listed, **sections}


def nested(name: str, inside: Json, **more: Any) -> Json:
    properties = {"mode": "Incremental", "template": inside, **more.pop("properties", {})}
    return {
        "type": "Microsoft.Resources/deployments",
        "apiVersion": "2022-09-01",
        "name": name,
        "properties": properties,
        **more,
    }


def inner(**parameters: Any) -> Json:
    return {
        "expressionEvaluationOptions": {"scope": "inner"},
        "parameters": {name: {"value": value} for name, value in parameters.items()},
    }


def run(cloud: RunningCloud, body: Json, name: str = "first", **parameters: Any) -> Any:
    values = {key: {"value": value} for key, value in parameters.items()}
    properties = {"template": body, "parameters": values, "mode": "Incremental"}
    client = cloud.deployments().deployments
    return client.begin_create_or_update("here", name, {"properties": properties}).result().properties


def values(done: Any) -> Json:
    return {name: output["value"] for name, output in (done.outputs or {}).items() if "value" in output}
