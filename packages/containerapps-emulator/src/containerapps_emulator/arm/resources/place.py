"""The scope of a deployment: a resource group or the subscription. Owns no deployment."""

from __future__ import annotations

from dataclasses import dataclass

from containerapps_emulator.arm.resources.built_in import DEPLOYMENT, RESOURCE_GROUP
from containerapps_emulator.arm.resources.resource import ResourceId


@dataclass(frozen=True, slots=True)
class Place:
    """`group` is the resource group's name, empty for the subscription."""

    subscription: str
    group: str

    @property
    def id(self) -> str:
        return (
            str(ResourceId(self.subscription, "", RESOURCE_GROUP, (self.group,)))
            if self.group
            else (f"/subscriptions/{self.subscription}")
        )

    def deployment_id(self, name: str) -> ResourceId:
        return ResourceId(self.subscription, self.group, DEPLOYMENT, (name,))
