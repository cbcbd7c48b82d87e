"""The local cloud's single subscription and its tenant. Does not own what is in it."""

from __future__ import annotations

from dataclasses import dataclass

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

LOCAL_SUBSCRIPTION_ID = "00000000-0000-0000-0000-00000000c10d"
LOCAL_TENANT_ID = "00000000-0000-0000-0000-000000007e4a"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Its id, display name and tenant."""

    id: str
    name: str
    tenant_id: str

    def show(self) -> Json:
        """The subscription as `subscription()` and GET return it."""
        return {
            "id": f"/subscriptions/{self.id}",
            "subscriptionId": self.id,
            "tenantId": self.tenant_id,
            "displayName": self.name,
        }

    def require(self, subscription_id: str) -> None:
        """Raises ArmError 404 SubscriptionNotFound for any other id."""
        if subscription_id.lower() != self.id:
            raise ArmError(
                404, "SubscriptionNotFound", f"The subscription '{subscription_id}' could not be found."
            )


LOCAL_SUBSCRIPTION = Subscription(LOCAL_SUBSCRIPTION_ID, "Local cloud", LOCAL_TENANT_ID)
