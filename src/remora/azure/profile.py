"""The cloud that the client uses. The only place where the local cloud and Azure differ for the client.

Everything that depends on the cloud is a field of CloudProfile; no other code asks "am I local?".
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy

from remora.azure.credentials import StaticToken, azure_credential
from remora.errors import CloudUnavailable, InvalidInput

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.appcontainers import ContainerAppsAPIClient
    from azure.mgmt.resource.deployments import DeploymentsMgmtClient
    from azure.mgmt.resource.resources import ResourceManagementClient
    from azure.mgmt.resource.subscriptions import SubscriptionClient
    from azure.mgmt.storage import StorageManagementClient

APPS_API_VERSION = "2025-07-01"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class CloudProfile:
    """How to reach a cloud.

    `arm_url` None leaves endpoint and scopes to the SDKs (Azure's public cloud). `poll_seconds` is the
    interval of polling a long-running operation; `retries` is how often the SDKs repeat a failed call;
    `portal_url` is the web portal of the cloud, if it has one.
    A cloud that `rehearses` has one subscription, which stands for any subscription in a project's files.
    """

    name: str
    arm_url: str | None
    endpoint_scheme: str
    poll_seconds: float
    retries: int
    default_location: str | None
    token: str = ""
    pulls_images: bool = True
    isolates: bool = True  # a container can write only to its own folders
    rehearses: bool = False
    portal_url: str | None = None
    principal_id: str = ""  # of who is signed in, where their token does not say it

    def new_credential(self) -> TokenCredential:
        """A credential for the cloud. It caches its tokens, so create one and share it."""
        return StaticToken(self.token) if self.token else azure_credential()

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for every management client."""
        options: dict[str, Any] = {"polling_interval": self.poll_seconds, "retry_total": self.retries}
        if self.arm_url is None:
            return options
        options |= {"base_url": self.arm_url, "credential_scopes": [f"{self.arm_url}/.default"]}
        if urlsplit(self.arm_url).hostname in _LOOPBACK:
            options["per_call_policies"] = [_AllowPlainHttp()]
        return options


_CONNECTION = frozenset({"pid", "arm_url", "files_url", "token"})
AZURE = CloudProfile(
    name="azure",
    arm_url=None,
    endpoint_scheme="https",
    poll_seconds=5.0,
    retries=3,
    default_location=None,
    portal_url="https://portal.azure.com",
)


def remora_home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of Remora's files on this machine (`REMORA_HOME`, default `~/.remora`)."""
    return Path(environment.get("REMORA_HOME") or Path.home() / ".remora")


def local_connection(home: Path) -> dict[str, Any] | None:
    """The document of a running local cloud; None without a whole one. The cloud may have ended since."""
    try:
        document = json.loads((home / "cloud" / "connection.json").read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    is_whole = isinstance(document, dict) and document.keys() >= _CONNECTION
    return document if is_whole else None


def load_profile(name: str, home: Path) -> CloudProfile:
    """The profile called `name`. Raises InvalidInput, or CloudUnavailable if no local cloud runs."""
    if name == "azure":
        return AZURE
    if name != "local":
        raise InvalidInput(f"there is no cloud {name!r}", hint="use local or azure", param="cloud")
    connection = local_connection(home)
    if connection is None:
        raise CloudUnavailable("the local cloud is not running", hint="run: remora cloud start")
    return CloudProfile(
        name="local",
        arm_url=connection["arm_url"],
        endpoint_scheme="http",
        poll_seconds=0.1,
        retries=1,
        default_location="westus3",
        token=connection["token"],
        pulls_images=False,
        isolates=bool(connection.get("isolated")),
        rehearses=True,
        principal_id=str(connection.get("principal_id") or ""),
    )


class Clients:
    """Microsoft's management clients for one subscription, each created on first use.

    `say` gets what a wait for the cloud is for, where it can be long.
    """

    def __init__(
        self,
        profile: CloudProfile,
        subscription_id: str = "",
        credential: TokenCredential | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.profile = profile
        self.subscription_id = subscription_id
        self.credential = credential or profile.new_credential()
        self.say = say

    def for_subscription(self, subscription_id: str) -> Clients:
        """The same cloud and account, another subscription."""
        return Clients(self.profile, subscription_id, self.credential, self.say)

    def request(
        self, method: str, path: str, query: Mapping[str, str], body: object = None
    ) -> dict[str, Any]:
        """A request to ARM that none of the clients has; returns the document. Raises the SDK's errors."""
        from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
        from azure.core.rest import HttpRequest
        from azure.mgmt.core.exceptions import ARMErrorFormat

        answer = self.resources.send_request(HttpRequest(method, path, params=dict(query), json=body))
        if answer.status_code >= 400:
            kinds = {401: ClientAuthenticationError, 404: ResourceNotFoundError}
            kind = kinds.get(answer.status_code, HttpResponseError)
            raise kind(response=answer, error_format=ARMErrorFormat)
        document: dict[str, Any] = answer.json()
        return document

    @cached_property
    def subscriptions(self) -> SubscriptionClient:
        from azure.mgmt.resource.subscriptions import SubscriptionClient

        return SubscriptionClient(self.credential, **self.profile.client_options())

    @cached_property
    def resources(self) -> ResourceManagementClient:
        from azure.mgmt.resource.resources import ResourceManagementClient

        return ResourceManagementClient(*self._arguments, **self.profile.client_options())

    @cached_property
    def deployments(self) -> DeploymentsMgmtClient:
        from azure.mgmt.resource.deployments import DeploymentsMgmtClient

        return DeploymentsMgmtClient(*self._arguments, **self.profile.client_options())

    @cached_property
    def storage(self) -> StorageManagementClient:
        from azure.mgmt.storage import StorageManagementClient

        return StorageManagementClient(*self._arguments, **self.profile.client_options())

    @cached_property
    def apps(self) -> ContainerAppsAPIClient:
        from azure.mgmt.appcontainers import ContainerAppsAPIClient

        options = self.profile.client_options()
        return ContainerAppsAPIClient(*self._arguments, api_version=APPS_API_VERSION, **options)

    @property
    def _arguments(self) -> tuple[TokenCredential, str]:
        return self.credential, self.subscription_id


class _AllowPlainHttp(SansIOHTTPPolicy):  # type: ignore[misc]  # the SDK's types are not used here
    """Allows a bearer token over http, which azure-core refuses by default; used for loopback only."""

    def on_request(self, request: PipelineRequest) -> None:
        request.context.options["enforce_https"] = False
