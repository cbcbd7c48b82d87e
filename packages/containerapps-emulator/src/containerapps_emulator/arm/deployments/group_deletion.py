"""Deleting a resource group: stops and deletes its deployments, then removes everything in it."""

from __future__ import annotations

from collections.abc import Callable

from containerapps_emulator.arm.deployments.deployments import Deployments
from containerapps_emulator.arm.operations import Operation, Operations
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.resources.store import Record


class GroupDeletion:
    """Runs one operation per deleted group. `forget` drops what others keep of a group, by its name."""

    def __init__(
        self,
        groups: Groups,
        resources: Resources,
        deployments: Deployments,
        operations: Operations,
        forget: Callable[[str], None],
    ) -> None:
        self._forget = forget
        self._groups = groups
        self._resources = resources
        self._deployments = deployments
        self._operations = operations
        operations.register("delete-group", self._run)

    def begin(self, name: str) -> Operation:
        """Start to delete the group; from now on nothing can be added to it. Raises ArmError 404."""
        group = self._groups.show(self._groups.require_open(name))
        operation = self._operations.begin("delete-group", group["id"])
        self._groups.mark_deleting(name)
        return operation

    async def _run(self, operation: Operation) -> None:
        name = operation.target.rsplit("/", 1)[1]
        for deployment in self._deployments.list_all(Place(operation.target.split("/")[2], name)):
            await self._deployments.delete(deployment.place, deployment.name)
        await self._remove_all(self._resources.top_records(operation.target))
        self._forget(name)
        self._groups.delete(name)

    async def _remove_all(self, records: list[Record]) -> None:
        """Remove the records; retry those that were refused because another record needed them."""
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
