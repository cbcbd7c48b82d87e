"""Where a deployment happens: in a resource group, or in the subscription itself."""

from __future__ import annotations

from dataclasses import dataclass

from remora.localcloud.arm.built_in import DEPLOYMENT, RESOURCE_GROUP
from remora.localcloud.arm.resource import ResourceId


@dataclass(frozen=True, slots=True)
class Place:
    """`group` is empty at the subscription; else the resource group's name."""

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
