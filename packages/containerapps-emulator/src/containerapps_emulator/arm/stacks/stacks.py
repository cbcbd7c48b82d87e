"""Creates, updates and deletes deployment stacks. Each runs as one operation, and again after a crash."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from containerapps_emulator.arm.deployments.deployments import Deployments
from containerapps_emulator.arm.deployments.preparation import Locate, Request
from containerapps_emulator.arm.deployments.record import DeploymentRecord
from containerapps_emulator.arm.operations import Operation, Operations
from containerapps_emulator.arm.resources.built_in import DEPLOYMENT
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.paths import parse_resource_id
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.resources.tags import checked_tags
from containerapps_emulator.arm.stacks.record import STACK, StackRecord, StackStore
from containerapps_emulator.arm.stacks.removal import Removal
from containerapps_emulator.arm.stacks.settings import Unmanage, checked, deployed_to
from containerapps_emulator.arm.timestamps import system_data
from containerapps_emulator.state import Json

_OF_THE_DEPLOYMENT: Final = ("template", "parameters")


class Stacks:
    """All stacks: of resource groups and of the subscription."""

    def __init__(
        self,
        *,
        store: StackStore,
        groups: Groups,
        deployments: Deployments,
        removal: Removal,
        operations: Operations,
    ) -> None:
        self._store = store
        self._groups = groups
        self._deployments = deployments
        self._removal = removal
        self._operations = operations
        operations.register("stack", self._run_put)
        operations.register("delete-stack", self._run_delete)

    def put(self, place: Place, name: str, body: Json, locate: Locate) -> tuple[StackRecord, Operation, bool]:
        """Check and start; also return whether the name is new. Raises ArmError before anything changes."""
        place = self._spelled(place)
        given, existing = checked(body), self._store.get(place, name)
        self._refuse_while_busy(existing)
        record = StackRecord(
            subscription=place.subscription,
            group=place.group,
            name=name if existing is None else existing.name,
            given=given,
            deployed_to=deployed_to(place, given),
            state="initializing",
            correlation_id=uuid.uuid4().hex,
            location=body.get("location") if isinstance(body.get("location"), str) else None,
            tags=checked_tags(body),
            resources=() if existing is None else existing.resources,
            system_data=system_data(None if existing is None else {"systemData": existing.system_data}),
        )
        record = record.changed(deployment=_deployment_name(record))
        self._deployments.validate(_request(record), locate)
        self._store.put(record)
        return record, self._operations.begin("stack", record.id), existing is None

    def validate(self, place: Place, name: str, body: Json, locate: Locate) -> Operation:
        """Check without a change; the operation has the answer. Raises ArmError."""
        place = self._spelled(place)
        given = checked(body)
        record = StackRecord(place.subscription, place.group, name, given, deployed_to(place, given), "", "")
        record = record.changed(location=body.get("location"), correlation_id=uuid.uuid4().hex)
        record = record.changed(deployment=_deployment_name(record))
        shown = self._deployments.validate(_request(record), locate)["properties"]
        properties = {
            "actionOnUnmanage": _capitalised(given["actionOnUnmanage"]),
            "denySettings": {**given["denySettings"], "mode": given["denySettings"]["mode"].capitalize()},
            "correlationId": record.correlation_id,
            "parameters": shown.get("parameters", {}),
            "validatedResources": shown["validatedResources"],
            "deploymentExtensions": [],
        }
        result = {"id": record.id, "name": name, "type": STACK, "properties": properties}
        return self._operations.note("validate-stack", record.id, result)

    def location_of(self, place: Place, location: str | None) -> str:
        """The region in the URLs of a stack's operations: its own, or its group's."""
        return location or str(self._groups.require(place.group)["location"])

    def require(self, place: Place, name: str) -> StackRecord:
        """Raises ArmError 404: ResourceGroupNotFound or DeploymentStackNotFound."""
        record = self._store.get(self._spelled(place), name)
        if record is None:
            raise ArmError(
                404, "DeploymentStackNotFound", f"The deployment stack '{name}' could not be found."
            )
        return record

    def list_all(self, place: Place) -> list[StackRecord]:
        return self._store.below(self._spelled(place))

    def delete(self, place: Place, name: str, unmanage: Unmanage) -> Operation | None:
        """Start to delete a stack; None if there is none. Raises ArmError while it changes."""
        record = self._store.get(self._spelled(place), name)
        if record is None:
            return None
        self._refuse_while_busy(record)
        action = {
            "resources": "delete" if unmanage.resources else "detach",
            "resourceGroups": "delete" if unmanage.groups else "detach",
        }
        asked = {**record.given["actionOnUnmanage"], **action}
        record = record.changed(state="deleting", given={**record.given, "actionOnUnmanage": asked})
        self._store.put(record)
        return self._operations.begin("delete-stack", record.id)

    async def _run_put(self, operation: Operation) -> None:
        started = datetime.now(UTC)
        record = self._of(operation)
        record = record.changed(state="deploying", detached=(), deleted=(), failed=(), error=None)
        self._store.put(record)
        deployment = await self._deployed(record)
        record = record.changed(
            deployment_id=deployment.id,
            outputs=deployment.properties.get("outputs"),
        )
        made = _made(deployment)
        left = {identity.lower(): identity for identity in record.resources}
        for identity in made:
            left.pop(identity.lower(), None)
        if deployment.properties["provisioningState"] != "Succeeded":
            record = record.changed(resources=(*made, *left.values()))
            raise self._failed(record, _deployment_error(deployment))
        self._store.put(record.changed(state="deletingResources"))
        record = await self._unmanaged(record, tuple(left.values()))
        record = record.changed(resources=(*made, *(entry["id"] for entry in record.failed)))
        if record.failed:
            raise self._failed(record, _removal_error(record))
        seconds = (datetime.now(UTC) - started).total_seconds()
        self._store.put(record.changed(state="succeeded", duration=f"PT{seconds:.7f}S"))

    async def _run_delete(self, operation: Operation) -> None:
        record = self._of(operation)
        record = await self._unmanaged(record, record.resources)
        if record.failed:
            raise self._failed(record, _removal_error(record))
        self._store.delete(record)

    async def _unmanaged(self, record: StackRecord, left: Sequence[str]) -> StackRecord:
        """Delete or release resources that the stack no longer manages."""
        unmanage = Unmanage.of_properties(record.given)
        identities = [found for text in left if (found := parse_resource_id(text)) is not None]
        doomed = [identity for identity in identities if unmanage.deletes(identity)]
        failures = await self._removal.remove(doomed)
        failed = {str(identity).lower() for identity, _ in failures}
        return record.changed(
            detached=tuple(str(identity) for identity in identities if identity not in doomed),
            deleted=tuple(str(identity) for identity in doomed if str(identity).lower() not in failed),
            failed=tuple({"id": str(identity), "error": error} for identity, error in failures),
        )

    async def _deployed(self, record: StackRecord) -> DeploymentRecord:
        """Run the deployment; first wait for one that goes on after a restart. Raises ArmError."""
        request = _request(record)
        busy = self._operations.active(str(request.place.deployment_id(request.name)))
        if busy is not None:
            await self._operations.finished(busy)
        try:
            return await self._deployments.run(request)
        except ArmError as error:
            raise self._failed(record, error) from None

    def _failed(self, record: StackRecord, error: ArmError) -> ArmError:
        self._store.put(record.changed(state="failed", error=error.to_json()))
        return error

    def _of(self, operation: Operation) -> StackRecord:
        found: ResourceId | None = parse_resource_id(operation.target)
        record = found and self._store.get(Place(found.subscription, found.group), found.name)
        if not record:
            raise ArmError(404, "DeploymentStackNotFound", f"The stack '{operation.target}' is gone.")
        return record

    def _refuse_while_busy(self, record: StackRecord | None) -> None:
        if record is not None and self._operations.active(record.id) is not None:
            raise ArmError(
                409,
                "DeploymentStackInNonTerminalState",
                f"The deployment stack '{record.id}' is in a non-terminal state '{record.state}'. Please try"
                " again later.",
            )

    def _spelled(self, place: Place) -> Place:
        """The place, with the group's name as it was created. Raises ArmError 404 ResourceGroupNotFound."""
        if not place.group:
            return place
        return Place(place.subscription, self._groups.require(place.group)["name"])


def _deployment_name(record: StackRecord) -> str:
    """Azure names each deployment of a stack by the stack and the time."""
    return f"{record.name[:45]}-{datetime.now(UTC):%y%m%d%H%M}{record.correlation_id[:5]}"


def _request(record: StackRecord) -> Request:
    properties = {name: record.given[name] for name in _OF_THE_DEPLOYMENT if record.given.get(name)}
    return Request(
        place=Place(record.subscription, record.deployed_to),
        name=record.deployment,
        properties={**properties, "mode": "Incremental"},
        location=None if record.deployed_to else record.location,
        tags=None,
    )


def _capitalised(words: Json) -> Json:
    """The answer to a validation spells them so, the stack itself does not."""
    return {name: word.capitalize() for name, word in words.items()}


def _made(deployment: DeploymentRecord) -> tuple[str, ...]:
    """The ids of what a deployment made: of all, or of what it got to before it failed."""
    whole = deployment.properties.get("outputResources")
    if whole is not None:
        return tuple(entry["id"] for entry in whole)
    steps = (entry["properties"] for entry in deployment.operations)
    done = (step["targetResource"] for step in steps if step["provisioningState"] == "Succeeded")
    return tuple(target["id"] for target in done if target["resourceType"] != DEPLOYMENT)


def _deployment_error(deployment: DeploymentRecord) -> ArmError:
    error = deployment.properties.get("error")
    message = f"One or more resources could not be deployed. Deployment: '{deployment.id}'."
    return ArmError(409, "DeploymentStackDeploymentFailed", message, [error] if error else ())


def _removal_error(record: StackRecord) -> ArmError:
    return ArmError(
        409,
        "DeploymentStackDeleteResourcesFailed",
        f"One or more resources could not be deleted. Correlation id: '{record.correlation_id}'.",
        [entry["error"] for entry in record.failed],
    )
