"""Deleting a resource group: deployments are stopped and forgotten, everything in it is removed."""

from __future__ import annotations

from remora.localcloud.arm.deployments import Deployments
from remora.localcloud.arm.groups import Groups
from remora.localcloud.arm.operations import Operation, Operations
from remora.localcloud.arm.place import Place
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.arm.resources import Resources
from remora.localcloud.arm.store import Record


class GroupDeletion:
    """One operation for each group that goes."""

    def __init__(
        self, groups: Groups, resources: Resources, deployments: Deployments, operations: Operations
    ) -> None:
        self._groups = groups
        self._resources = resources
        self._deployments = deployments
        self._operations = operations
        operations.register("delete-group", self._run)

    def begin(self, name: str) -> Operation:
        """Nothing new can be put into the group from now on. Raises ArmError 404."""
        group = self._groups.show(self._groups.require_open(name))
        operation = self._operations.begin("delete-group", group["id"])
        self._groups.mark_deleting(name)
        return operation

    async def _run(self, operation: Operation) -> None:
        name = operation.target.rsplit("/", 1)[1]
        for deployment in self._deployments.list_all(Place(operation.target.split("/")[2], name)):
            await self._deployments.delete(deployment.place, deployment.name)
        await self._remove_all(self._resources.top_records(operation.target))
        self._groups.delete(name)

    async def _remove_all(self, records: list[Record]) -> None:
        """What refuses to go because something else needs it is tried again after that is gone."""
        while records:
            refused: list[tuple[Record, ArmError]] = []
            for record in records:
                try:
                    await self._resources.remove(record)
                except ArmError as error:
                    refused.append((record, error))
            if len(refused) == len(records):
                raise refused[0][1]
            records = [record for record, _ in refused]
