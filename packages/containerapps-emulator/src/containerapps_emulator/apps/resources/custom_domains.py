"""Questions about custom domains, over HTTP. No name leads to this machine, so none is looked up."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from containerapps_emulator.apps.documents.records import Records
from containerapps_emulator.apps.fleet import Fleet
from containerapps_emulator.arm.http import AnyCaseRoute
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.subscription import LOCAL_SUBSCRIPTION
from containerapps_emulator.state import Json

SUBSCRIPTION = "/subscriptions/{subscription}"
PROVIDER = "providers/Microsoft.App"
APP = f"{SUBSCRIPTION}/resourceGroups/{{group}}/{PROVIDER}/containerApps/{{app}}"
NO_RECORDS = ("cNameRecords", "txtRecords", "aRecords", "alternateCNameRecords", "alternateTxtRecords")


class CustomDomains:
    def __init__(self, records: Records, fleet: Fleet) -> None:
        self._records = records
        self._fleet = fleet
        self.routes = (
            AnyCaseRoute(f"{APP}/listCustomHostNameAnalysis", self.analysis, methods=["POST"]),
            AnyCaseRoute(
                f"{SUBSCRIPTION}/{PROVIDER}/getCustomDomainVerificationId", self.proof, methods=["POST"]
            ),
        )

    async def analysis(self, request: Request) -> Response:
        """Every name passes; what is told is whether another app of the environment has it."""
        LOCAL_SUBSCRIPTION.require(request.path_params["subscription"])
        group, name = request.path_params["group"], request.path_params["app"]
        resource_id = ResourceId(LOCAL_SUBSCRIPTION.id, group, "Microsoft.App/containerApps", (name,))
        app = self._fleet.find(resource_id)
        if app is None:
            raise ArmError(
                404,
                "ResourceNotFound",
                f"The Resource 'Microsoft.App/containerApps/{name}' under resource group '{group}' was not"
                " found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
            )
        host = request.query_params.get("customHostname", "")
        others = [
            str(other.id)
            for other, domain in self._records.domains()
            if domain["name"].lower() == host.lower()
            and other.environment.lower() == app.record.environment.lower()
            and other.key != app.record.key
        ]
        analysis: Json = {
            "hostName": host,
            "isHostnameAlreadyVerified": False,
            "customDomainVerificationTest": "Passed",
            "hasConflictOnManagedEnvironment": bool(others),
            **{name: [] for name in NO_RECORDS},
        }
        conflict = {"conflictingContainerAppResourceId": others[0]} if others else {}
        return JSONResponse({**analysis, **conflict})

    async def proof(self, request: Request) -> Response:
        """What a TXT record would have to say, as a JSON text."""
        LOCAL_SUBSCRIPTION.require(request.path_params["subscription"])
        return JSONResponse(hashlib.sha256(LOCAL_SUBSCRIPTION.id.encode()).hexdigest().upper())
