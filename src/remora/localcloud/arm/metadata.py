"""`/metadata/endpoints`: what `az cloud register` asks a cloud before it knows anything about it.

Every address that the local cloud has no service for is its own, so that no client is sent elsewhere.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from remora.localcloud.arm.http import AnyCaseRoute
from remora.localcloud.arm.subscription import Subscription

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
    """The endpoints document, for whichever address it was asked at."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self.routes: tuple[BaseRoute, ...] = (
            AnyCaseRoute("/metadata/endpoints", self.endpoints, methods=["GET"]),
        )

    async def endpoints(self, request: Request) -> Response:
        """One object for recent api-versions, a list of one for those before 2019-05-01."""
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
