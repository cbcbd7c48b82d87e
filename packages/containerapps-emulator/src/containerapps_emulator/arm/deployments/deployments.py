"""Template deployments: accepts them, runs them and records every step. `run.py` owns a single run.

A deployment that a crash interrupts runs again from its start. PUT of an existing resource changes nothing,
so the second run has the same result.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from containerapps_emulator.arm.deployments.fallback import fallback, fallback_of
from containerapps_emulator.arm.deployments.preparation import Locate, Preparation, Prepared, Request
from containerapps_emulator.arm.deployments.record import (
    DeploymentRecord,
    DeploymentStore,
    camel_case,
    shown_deployment,
)
from containerapps_emulator.arm.deployments.run import DeploymentRun
from containerapps_emulator.arm.locations import normal_location
from containerapps_emulator.arm.operations import Operation, Operations
from containerapps_emulator.arm.resources.built_in import DEPLOYMENT
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.registry import Registry
from containerapps_emulator.arm.resources.resource import ArmError, as_arm_error
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.templates import parameters
from containerapps_emulator.arm.templates.template_hash import template_hash
from containerapps_emulator.arm.timestamps import now_text
from containerapps_emulator.state import Json

_MOST_DEPLOYMENTS = 800


class Deployments:
    """All deployments: to resource groups and to the subscription, nested ones included."""

    def __init__(
        self,
        *,
        preparation: Preparation,
        store: DeploymentStore,
        groups: Groups,
        registry: Registry,
        resources: Resources,
        operations: Operations,
    ) -> None:
        self._preparation = preparation
        self._store = store
        self._groups = groups
        self._registry = registry
        self._resources = resources
        self._operations = operations
        operations.register("deployment", self._run)

    def put(self, request: Request, locate: Locate) -> tuple[DeploymentRecord, bool]:
        """Check and start; also return whether the name is new. Raises ArmError before anything changes."""
        place = self._spelled(request.place)
        existing = self._store.get(place.group, request.name)
        if existing is not None and self._operations.active(existing.id) is not None:
            raise ArmError(
                409,
                "DeploymentActive",
                f"The deployment with resource id '{existing.id}' cannot be saved, because this would"
                " overwrite an existing deployment which is still active. Please see"
                " https://aka.ms/arm-deploy for usage details.",
            )
        _check_location(request, existing)
        if existing is None:
            check_quota(request.name, len(self._store.below(place.group)))
        prepared = self._preparation.prepare(request, locate)
        record = DeploymentRecord(
            group=place.group,
            name=request.name,
            subscription=place.subscription,
            tags=request.tags,
            template=request.properties["template"],
            parameters=prepared.parameters,
            properties=self._shown(prepared, "Accepted"),
            status_id=_new_status_id(),
            operations=(),
            location=request.location,
            outer=None if request.outer is None else request.outer.to_json(),
        )
        self._store.put(record)
        self._operations.begin("deployment", record.id, operation_id=record.status_id)
        return record, existing is None

    async def run(self, request: Request) -> DeploymentRecord:
        """Start, and wait for its end, which may be a failure. Raises ArmError if it is refused."""
        record, _ = self.put(request, lambda _: None)
        operation = self._operations.get(record.status_id)
        if operation is not None:
            await self._operations.finished(operation)
        return self.require(request.place, request.name)

    def validate(self, request: Request, locate: Locate) -> Json:
        """The deployment as it would be created. Raises ArmError."""
        _check_location(request, None)
        prepared = self._preparation.prepare(request, locate)
        shown = self._shown(prepared, "Succeeded")
        shown |= {"timestamp": "0001-01-01T00:00:00Z", "duration": "PT0S"}
        shown["validatedResources"] = [{"id": str(identity)} for identity in prepared.all_ids()]
        place = self._spelled(request.place)
        return shown_deployment(place, request.name, request.location, request.tags, shown)

    def require(self, place: Place, name: str) -> DeploymentRecord:
        """Raises ArmError 404: ResourceGroupNotFound or DeploymentNotFound."""
        self._spelled(place)
        record = self._store.get(place.group, name)
        if record is None:
            raise ArmError(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")
        return record

    def list_all(self, place: Place) -> list[DeploymentRecord]:
        self._spelled(place)
        return self._store.below(place.group)

    async def delete(self, place: Place, name: str) -> bool:
        """Delete the deployment's record, not its resources. False if there is none."""
        record = self._store.get(place.group, name)
        if record is None:
            return False
        active = self._operations.active(record.id)
        if active is not None:
            await self._operations.cancel(active)
        self._store.delete(place.group, name)
        return True

    async def cancel(self, place: Place, name: str) -> None:
        """Stop a deployment and its nested ones. Raises ArmError 409 if it has ended."""
        record = self.require(place, name)
        active = self._operations.active(record.id)
        if active is None:
            raise ArmError(
                409,
                "DeploymentCannotBeCancelled",
                f"The deployment '{record.id}' has already ended.",
            )
        await self._operations.cancel(active)
        record = self.require(place, name)
        self._store.put(record.with_properties(provisioningState="Canceled"))
        for nested in self._running_inside(record):
            await self.cancel(nested.place, nested.name)

    def status(self, record: DeploymentRecord) -> Json:
        """The response body of operationStatuses."""
        state = record.properties["provisioningState"]
        error = record.properties.get("error")
        return {"status": state} | ({"error": error} if error else {})

    def _spelled(self, place: Place) -> Place:
        """The place, with the group's name as it was created. Raises ArmError 404 ResourceGroupNotFound."""
        if not place.group:
            return place
        return Place(place.subscription, self._groups.require(place.group)["name"])

    def _shown(self, prepared: Prepared, state: str) -> Json:
        template = prepared.request.properties["template"]
        echoed = parameters.echo(prepared.template.parameters, prepared.parameters)
        named = {camel_case(name): item for name, item in echoed.items()}
        return {
            "templateHash": template_hash(template),
            **({"parameters": named} if "parameters" in template else {}),
            "mode": "Incremental",
            "provisioningState": state,
            "timestamp": now_text(),
            "duration": "PT0S",
            "correlationId": str(uuid.uuid4()),
            **prepared.plan.describe(self._registry.spelled),
            **fallback(prepared.request, self._store),
        }

    def _running_inside(self, record: DeploymentRecord) -> list[DeploymentRecord]:
        found = []
        for entry in record.operations:
            target = entry["properties"].get("targetResource", {})
            if target.get("resourceType") == DEPLOYMENT:
                nested = self._store.by_id(target["id"])
                if nested is not None and self._operations.active(nested.id) is not None:
                    found.append(nested)
        return found

    async def _run(self, operation: Operation) -> None:
        record = self._store.by_id(operation.target)
        if record is None:
            raise ArmError(404, "DeploymentNotFound", f"The deployment '{operation.target}' is gone.")
        try:
            await self._deploy(record)
        except Exception as error:
            self._mark_failed(record, error)
            self._fall_back(record)
            raise

    async def _deploy(self, record: DeploymentRecord) -> None:
        prepared = self._preparation.prepare(record.request(), lambda _: None, bound=record.parameters)
        run = DeploymentRun(
            record,
            prepared,
            store=self._store,
            resources=self._resources,
            groups=self._groups,
            operations=self._operations,
            nest=self.run,
        )
        await run.deploy()
        outputs = await run.outputs()
        run.succeed({camel_case(name): output for name, output in outputs.items()})

    def _mark_failed(self, record: DeploymentRecord, error: Exception) -> None:
        """Record an unexpected error, so that clients do not poll the deployment forever."""
        latest = self._store.get(record.group, record.name)
        if latest is None or latest.properties["provisioningState"] == "Failed":
            return
        shown = as_arm_error(error).to_json()
        self._store.put(latest.with_properties(provisioningState="Failed", error=shown))

    def _fall_back(self, record: DeploymentRecord) -> None:
        """Run the deployment that this one names as its `onErrorDeployment` again."""
        former = fallback_of(record, self._store)
        if former is None or self._operations.active(former.id) is not None:
            return
        again = replace(former, status_id=_new_status_id()).with_properties(provisioningState="Accepted")
        self._store.put(again)
        self._operations.begin("deployment", again.id, operation_id=again.status_id)


def check_quota(name: str, count: int) -> None:
    """Raise ArmError for one more than a group, or the subscription, can have."""
    if count >= _MOST_DEPLOYMENTS:
        raise ArmError(
            409,
            "DeploymentQuotaExceeded",
            f"Creating the deployment '{name}' would exceed the quota of '{_MOST_DEPLOYMENTS}'. The current"
            f" deployment count is '{count}'. Please delete some deployments before creating a new one, or"
            " see https://aka.ms/800LimitFix for information on managing deployment limits.",
        )


def _new_status_id() -> str:
    return str(8_584_000_000_000_000_000 + uuid.uuid4().int % 10**18).zfill(20)


def _check_location(request: Request, existing: DeploymentRecord | None) -> None:
    """Check the fixed location of a deployment to the subscription; one to a group has none of its own."""
    if request.place.group:
        return
    given: Any = request.location
    if not isinstance(given, str) or normal_location(given) is None:
        raise ArmError(
            400,
            "LocationRequired" if not given else "LocationNotAvailableForDeployment",
            f"The location '{given or ''}' of the deployment '{request.name}' to the subscription is missing"
            " or not a region.",
        )
    if existing is not None and normal_location(str(existing.location)) != normal_location(given):
        raise ArmError(
            409,
            "InvalidDeploymentLocation",
            f"Invalid deployment location '{given}'. The deployment '{request.name}' already exists in"
            f" location '{existing.location}'.",
        )
