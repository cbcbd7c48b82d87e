"""`/metadata/endpoints`: what `az cloud register` requests before it knows anything about a cloud.

Every address without a local service is the local cloud's own, so that no client contacts another host.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from containerapps_emulator.arm.http import AnyCaseRoute
from containerapps_emulator.arm.subscription import Subscription

_OWN_ADDRESS = (
    "portal",
    "resourceManager",
    "graph",
    "graphAudience",
    "microsoftGraphResourceId",
    "logAnalyticsResourceId",
    "batch",
    "media",
    "gallery",
    "sqlManagement",
    "activeDirectoryDataLake",
    "vmImageAliasDoc",
    "attestationResourceId",
    "synapseAnalyticsResourceId",
    "ossrDbmsResourceId",
)
_SUFFIXES = (
    "storage",
    "keyVaultDns",
    "acrLoginServer",
    "sqlServerHostname",
    "mysqlServerEndpoint",
    "mariadbServerEndpoint",
    "postgresqlServerEndpoint",
    "mhsmDns",
    "storageSyncEndpointSuffix",
    "attestationEndpoint",
    "synapseAnalytics",
    "azureDataLakeStoreFileSystem",
    "azureDataLakeAnalyticsCatalogAndJob",
)
_NOWHERE = "local.invalid"


class Metadata:
    """Serves the endpoints document, with the address of the request."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self.routes: tuple[BaseRoute, ...] = (
            AnyCaseRoute("/metadata/endpoints", self.endpoints, methods=["GET"]),
        )

    async def endpoints(self, request: Request) -> Response:
        """One object for recent api-versions, a list of it for versions from 2019-05-01 up to 2022-09-01."""
        own = str(request.base_url).rstrip("/")
        document = {
            "name": "RemoraLocal",
            **dict.fromkeys(_OWN_ADDRESS, own),
            "authentication": {
                "loginEndpoint": own,
                "audiences": [own],
                "tenant": self._subscription.tenant_id,
                "identityProvider": "AAD",
            },
            "suffixes": dict.fromkeys(_SUFFIXES, _NOWHERE),
        }
        as_list = "2019-05-01" <= request.query_params.get("api-version", "") < "2022-09-01"
        return JSONResponse([document] if as_list else document)
