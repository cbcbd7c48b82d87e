"""Deletes resources and resource groups that a stack no longer manages."""

from __future__ import annotations

from collections.abc import Sequence

from containerapps_emulator.arm.deployments.group_deletion import GroupDeletion
from containerapps_emulator.arm.operations import Operation, Operations
from containerapps_emulator.arm.resources.built_in import RESOURCE_GROUP
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.state import Json


class Removal:
    """Deletes in an order that works: what others need is tried again after them."""

    def __init__(
        self, resources: Resources, groups: Groups, group_deletion: GroupDeletion, operations: Operations
    ) -> None:
        self._resources = resources
        self._groups = groups
        self._group_deletion = group_deletion
        self._operations = operations

    async def remove(self, identities: Sequence[ResourceId]) -> list[tuple[ResourceId, Json]]:
        """Delete all; return those that were refused, with the errors."""
        waiting = [identity for identity in identities if not _is_within(identity, identities)]
        while waiting:
            refused = [
                (identity, error)
                for identity in waiting
                if (error := await self._refusal(identity)) is not None
            ]
            if len(refused) == len(waiting):
                return refused
            waiting = [identity for identity, _ in refused]
        return []

    async def _refusal(self, identity: ResourceId) -> Json | None:
        """Delete one. Returns the error if it was refused or failed."""
        try:
            operation = await self._begin(identity)
        except ArmError as error:
            return error.to_json()
        if operation is None:
            return None
        return (await self._operations.finished(operation)).error

    async def _begin(self, identity: ResourceId) -> Operation | None:
        if identity.type != RESOURCE_GROUP:
            return (await self._resources.delete(identity))[1]
        if not self._groups.exists(identity.name):
            return None
        return self._group_deletion.begin(identity.name)


def _is_within(identity: ResourceId, others: Sequence[ResourceId]) -> bool:
    """Whether a resource goes with another one of the list: its parent, or its resource group."""
    return any(str(identity).lower().startswith(f"{other}/".lower()) for other in others)
