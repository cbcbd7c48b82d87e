"""Microsoft's clients for a running local cloud, in their two kinds: calls that return and calls to await."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.pipeline.policies import SansIOHTTPPolicy
from tests.conformance.recorder import Recorder
from tests.emulator.arm.conftest import StaticCredential

from containerapps_emulator.connection import Connection

RANGE_BYTES = 512 * 1024  # aiohttp warns of larger pieces
# The versions that we have Microsoft's documents of.
VERSIONS: Mapping[str, str] = {
    "apps": "2024-03-01",
    "deployments": "2024-07-01",
    "resources": "2024-07-01",
    "storage": "2023-01-01",
    "subscriptions": "2022-12-01",
}


class AllowHttp(SansIOHTTPPolicy):  # type: ignore[misc]
    """Bearer tokens over plain http, which is what loopback speaks."""

    def on_request(self, request: Any) -> None:
        request.context.options["enforce_https"] = False


class AsyncCredential:
    """The local cloud's token for the clients that await it."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)

    async def get_token_info(self, *_: str, **__: Any) -> AccessTokenInfo:
        return AccessTokenInfo(self._token, int(time.time()) + 3600)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Clients:
    """One client for each service. Both kinds have the same methods."""

    subscriptions: Any
    resources: Any
    deployments: Any
    storage: Any
    apps: Any
    share_type: Any
    files_url: str

    def share(self, account: str, name: str, key: str) -> Any:
        options = {"retry_total": 0, "max_range_size": RANGE_BYTES, "max_chunk_get_size": RANGE_BYTES}
        return self.share_type(f"{self.files_url}/{account}", name, credential=key, **options)

    async def close(self) -> None:
        for client in (self.subscriptions, self.resources, self.deployments, self.storage, self.apps):
            await done(client.close())


def sync_clients(connection: Connection, recorder: Recorder, apps_version: str = VERSIONS["apps"]) -> Clients:
    from azure.mgmt.appcontainers import ContainerAppsAPIClient
    from azure.mgmt.resource.deployments import DeploymentsMgmtClient
    from azure.mgmt.resource.resources import ResourceManagementClient
    from azure.mgmt.resource.subscriptions import SubscriptionClient
    from azure.mgmt.storage import StorageManagementClient
    from azure.storage.fileshare import ShareClient

    kinds = {
        "subscriptions": SubscriptionClient,
        "resources": ResourceManagementClient,
        "deployments": DeploymentsMgmtClient,
        "storage": StorageManagementClient,
        "apps": ContainerAppsAPIClient,
    }
    credential = StaticCredential(connection.token)
    made = _made(kinds, credential, connection, recorder, apps_version)
    return Clients(**made, share_type=ShareClient, files_url=connection.files_url)


def async_clients(
    connection: Connection, recorder: Recorder, apps_version: str = VERSIONS["apps"]
) -> Clients:
    from azure.mgmt.appcontainers.aio import ContainerAppsAPIClient
    from azure.mgmt.resource.deployments.aio import DeploymentsMgmtClient
    from azure.mgmt.resource.resources.aio import ResourceManagementClient
    from azure.mgmt.resource.subscriptions.aio import SubscriptionClient
    from azure.mgmt.storage.aio import StorageManagementClient
    from azure.storage.fileshare.aio import ShareClient

    kinds = {
        "subscriptions": SubscriptionClient,
        "resources": ResourceManagementClient,
        "deployments": DeploymentsMgmtClient,
        "storage": StorageManagementClient,
        "apps": ContainerAppsAPIClient,
    }
    credential = AsyncCredential(connection.token)
    made = _made(kinds, credential, connection, recorder, apps_version)
    return Clients(**made, share_type=ShareClient, files_url=connection.files_url)


async def done(value: Any) -> Any:
    """The result of a call, awaited where that is needed; of a poller, its end."""
    if inspect.isawaitable(value):
        value = await value
    if hasattr(value, "result") and hasattr(value, "polling_method"):
        return await done(value.result())
    return value


async def listed(pages: Any) -> list[Any]:
    """All items of a list, over all its pages."""
    if hasattr(pages, "__aiter__"):
        return [item async for item in pages]
    return list(pages)


def _made(
    kinds: Mapping[str, Any], credential: Any, connection: Connection, recorder: Recorder, apps_version: str
) -> dict[str, Any]:
    options = {
        "base_url": connection.arm_url,
        "credential_scopes": [f"{connection.arm_url}/.default"],
        "per_call_policies": [AllowHttp(), recorder.policy(awaited=isinstance(credential, AsyncCredential))],
        "polling_interval": 0.05,
        "retry_total": 0,
    }
    versions = {**VERSIONS, "apps": apps_version}
    return {
        name: kind(
            credential,
            *(() if name == "subscriptions" else (connection.subscription_id,)),
            api_version=versions[name],
            **options,
        )
        for name, kind in kinds.items()
    }
