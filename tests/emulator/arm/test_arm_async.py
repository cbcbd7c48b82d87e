"""The asynchronous clients, which poll and page by other code than the synchronous ones."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient
from azure.mgmt.resource.resources.aio import ResourceManagementClient
from tests.emulator.arm.conftest import StaticCredential
from tests.emulator.arm.templates import nested, template, workspace

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud


class AsyncCredential:
    """The same token, awaited."""

    def __init__(self, token: str) -> None:
        self._inner = StaticCredential(token)

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        return self._inner.get_token(*scopes)

    async def get_token_info(self, *scopes: str, **_: Any) -> AccessTokenInfo:
        return self._inner.get_token_info(*scopes)

    async def close(self) -> None:
        """Nothing is open."""


def client(cloud: RunningCloud, client_type: Any) -> Any:
    credential = AsyncCredential(cloud.connection.token)
    return client_type(credential, cloud.connection.subscription_id, **cloud.options())


async def test_a_whole_life(cloud: RunningCloud) -> None:
    body = template([workspace("logs-one"), nested("inside", template([workspace("logs-two")]))])
    asked = {"properties": {"template": body, "mode": "Incremental"}}
    async with client(cloud, ResourceManagementClient) as resources:
        await resources.resource_groups.create_or_update("here", {"location": "eastus"})
        async with client(cloud, DeploymentsMgmtClient) as deployments:
            what_if = await (await deployments.deployments.begin_what_if("here", "first", asked)).result()
            assert {change.change_type for change in what_if.changes} == {"Create"}
            poller = await deployments.deployments.begin_create_or_update("here", "first", asked)
            done = await poller.result()
            assert len(done.properties.output_resources) == 2
            pollers = await asyncio.gather(
                *(
                    deployments.deployments.begin_create_or_update(
                        "here",
                        f"number-{index}",
                        {
                            "properties": {
                                "template": template([workspace(f"of-{index}")]),
                                "mode": "Incremental",
                            }
                        },
                    )
                    for index in range(3)
                )
            )
            ends = await asyncio.gather(*(poller.result() for poller in pollers))
            assert {end.properties.provisioning_state for end in ends} == {"Succeeded"}
            found = [item.name async for item in deployments.deployments.list_by_resource_group("here")]
            assert {"first", "inside", "number-0"} <= set(found)
        names = {item.name async for item in resources.resources.list()}
        assert names == {"logs-one", "logs-two", "of-0", "of-1", "of-2"}
        await (await resources.resource_groups.begin_delete("here")).result()
        assert not await resources.resource_groups.check_existence("here")
