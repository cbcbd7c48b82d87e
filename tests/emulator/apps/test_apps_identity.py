"""Identities of an app: the ids that they are given, and what is no identity."""

from __future__ import annotations

from typing import Any

import pytest
from tests.emulator.apps.cloud import Cloud, web_template

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.subscription import LOCAL_TENANT_ID
from containerapps_emulator.state import Json

USER = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/me"


async def put(cloud: Cloud, identity: Any) -> Any:
    properties: Json = {"environmentId": str(cloud.environment), "template": web_template(replicas=0)}
    body = {"location": "westus3", "identity": identity, "properties": properties}
    return (await cloud.put(cloud.app, body))["identity"]


async def test_an_app_without_identity_says_none(cloud: Cloud) -> None:
    assert await put(cloud, None) == {"type": "None"}
    assert await put(cloud, {"type": "None", "principalId": "x", "tenantId": "y"}) == {"type": "None"}


async def test_ids_stay_the_same(cloud: Cloud) -> None:
    shown = await put(cloud, {"type": "systemassigned"})
    assert (shown["type"], shown["tenantId"]) == ("SystemAssigned", LOCAL_TENANT_ID)
    both = await put(cloud, {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {USER: {}}})
    assert both["type"] == "SystemAssigned, UserAssigned"
    assert both["principalId"] == shown["principalId"]
    assert set(both["userAssignedIdentities"][USER]) == {"principalId", "clientId"}
    assert await put(cloud, {**both, "type": "SystemAssigned"}) == shown


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        ("SystemAssigned", "'identity' must be an object"),
        ({"type": 5}, "'identity.type' is '5'"),
        ({"type": "Other"}, "'identity.type' is 'Other'"),
        ({"type": "None, SystemAssigned"}, "'identity.type' is 'None, SystemAssigned'"),
        ({"type": "UserAssigned"}, "must name an identity"),
        ({"type": "UserAssigned", "userAssignedIdentities": [USER]}, "must be an object"),
    ],
)
async def test_what_is_no_identity_is_refused_and_not_stored(
    cloud: Cloud, identity: Any, message: str
) -> None:
    with pytest.raises(ArmError, match=message) as refused:
        await put(cloud, identity)
    assert (refused.value.status, refused.value.code) == (400, "InvalidRequestContent")
    assert cloud.app.key not in cloud.documents
    with pytest.raises(ArmError, match=message):
        await cloud.put(cloud.environment, {"location": "westus3", "identity": identity})
