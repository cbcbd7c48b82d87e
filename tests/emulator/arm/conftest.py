"""A running local cloud over a temporary folder, and Microsoft's clients pointed at it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.resource.deployments import DeploymentsMgmtClient
from azure.mgmt.resource.deploymentstacks import DeploymentStacksClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.resource.subscriptions import SubscriptionClient
from azure.mgmt.storage import StorageManagementClient

from containerapps_emulator.connection import Connection
from containerapps_emulator.process import run_cloud

_START_SECONDS = 300


class StaticCredential:
    """The local cloud's token, in the two forms that the SDKs ask for."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)

    def get_token_info(self, *_: str, **__: Any) -> AccessTokenInfo:
        return AccessTokenInfo(self._token, int(time.time()) + 3600)


class AllowHttp(SansIOHTTPPolicy):  # type: ignore[misc]
    """Bearer tokens over plain http, which is what loopback speaks."""

    def on_request(self, request: Any) -> None:
        request.context.options["enforce_https"] = False


@dataclass(frozen=True, slots=True)
class RunningCloud:
    """Where a local cloud listens, and clients for it."""

    folder: Path
    connection: Connection

    @property
    def groups_path(self) -> str:
        return f"/subscriptions/{self.connection.subscription_id}/resourcegroups"

    def http(self, *, token: str | None = None) -> httpx.Client:
        """A plain client, for what SDKs hide."""
        headers = {"Authorization": f"Bearer {self.connection.token if token is None else token}"}
        return httpx.Client(base_url=self.connection.arm_url, headers=headers, timeout=300)

    def resources(self) -> Any:
        return self._client(ResourceManagementClient)

    def deployments(self) -> Any:
        return self._client(DeploymentsMgmtClient)

    def storage(self) -> Any:
        return self._client(StorageManagementClient)

    def subscriptions(self) -> Any:
        credential = StaticCredential(self.connection.token)
        return SubscriptionClient(credential, **self.options())

    def stacks(self) -> Any:
        return self._client(DeploymentStacksClient).deployment_stacks

    def _client(self, client_type: Any) -> Any:
        credential = StaticCredential(self.connection.token)
        return client_type(credential, self.connection.subscription_id, **self.options())

    def options(self) -> dict[str, Any]:
        """How any of Microsoft's management clients finds this cloud."""
        url = self.connection.arm_url
        return {
            "base_url": url,
            "credential_scopes": [f"{url}/.default"],
            "per_call_policies": [AllowHttp()],
            "polling_interval": 0,
            "retry_total": 0,
        }


@contextmanager
def running_cloud(folder: Path, port: int | None = None, *, tls: bool = False) -> Iterator[RunningCloud]:
    """The local cloud on a thread of its own, stopped gracefully at the end."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    listening = threading.Event()
    connections: list[Connection] = []
    failures: list[BaseException] = []

    def ready(connection: Connection) -> None:
        connections.append(connection)
        listening.set()

    def serve() -> None:
        try:
            loop.run_until_complete(run_cloud(folder, port=port, tls=tls, stop=stop, ready=ready))
        except BaseException as failure:
            failures.append(failure)
            listening.set()
        finally:
            loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert listening.wait(_START_SECONDS)
        if failures:
            raise failures[0]
        yield RunningCloud(folder, connections[0])
    finally:
        if not failures:
            loop.call_soon_threadsafe(stop.set)
        thread.join(_START_SECONDS)
        assert not thread.is_alive()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path / "cloud") as running:
        yield running


@pytest.fixture
def group(cloud: RunningCloud) -> str:
    """A resource group to work in."""
    cloud.resources().resource_groups.create_or_update("work", {"location": "eastus"})
    return "work"


@pytest.fixture
def deploy(cloud: RunningCloud, group: str) -> Callable[..., Any]:
    """Deploy a template and wait for its end."""

    def run(template: dict[str, Any], parameters: dict[str, Any] | None = None, name: str = "first") -> Any:
        properties = {"template": template, "parameters": parameters or {}, "mode": "Incremental"}
        client = cloud.deployments()
        return client.deployments.begin_create_or_update(group, name, {"properties": properties}).result()

    return run


@pytest.fixture
def cloud_at() -> Callable[..., AbstractContextManager[RunningCloud]]:
    """Run a local cloud over a folder of the test's choice."""
    return running_cloud


@pytest.fixture(scope="module")
def module_cloud_at() -> Callable[..., AbstractContextManager[RunningCloud]]:
    """The same, for a cloud that all tests of a module share."""
    return running_cloud
