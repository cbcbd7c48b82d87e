"""The context of a deployment's expressions: subscription, tenant, group, deployment. Evaluates nothing."""

from __future__ import annotations

from dataclasses import dataclass

from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.templates.expressions import ExpressionError
from containerapps_emulator.state import Json

_NOWHERE = "local.invalid"
ENVIRONMENT: Json = {
    "name": "RemoraLocal",
    "resourceManager": f"https://{_NOWHERE}/",
    "authentication": {"loginEndpoint": f"https://{_NOWHERE}/", "audiences": [f"https://{_NOWHERE}/"]},
    "suffixes": {"storage": _NOWHERE, "keyvaultDns": f".{_NOWHERE}", "acrLoginServer": f".{_NOWHERE}"},
}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`group` is the resource group as shown, None for a deployment to the subscription."""

    subscription: Json
    tenant_id: str
    group: Json | None
    deployment: Json

    @property
    def place(self) -> Place:
        return Place(self.subscription["subscriptionId"], self.group["name"] if self.group else "")

    def resource_group(self) -> Json:
        """`resourceGroup()`. Raises ExpressionError if there is none."""
        if self.group is None:
            raise ExpressionError(
                "The template function 'resourceGroup' is not expected at this location: the deployment is to"
                " a subscription. Please see https://aka.ms/arm-functions for usage details."
            )
        return self.group
