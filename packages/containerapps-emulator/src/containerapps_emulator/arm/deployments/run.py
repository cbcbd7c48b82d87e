"""One run of a deployment: resources in parallel where dependencies allow, then outputs. Plans nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from containerapps_emulator.arm.deployments.deployed import Deployed
from containerapps_emulator.arm.deployments.plan import PlannedResource
from containerapps_emulator.arm.deployments.preparation import Prepared, Request, nested_values
from containerapps_emulator.arm.deployments.record import DeploymentRecord, DeploymentStore
from containerapps_emulator.arm.operations import Operations
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.templates.expressions import ExpressionError
from containerapps_emulator.arm.templates.loops import output_loop
from containerapps_emulator.arm.templates.parameters import TYPES, require_output_type, typed_value
from containerapps_emulator.arm.timestamps import now_text
from containerapps_emulator.state import Json

_FAILED = (
    "At least one resource deployment operation failed. Please list deployment operations for details."
    " Please see https://aka.ms/arm-deployment-operations for usage details."
)
Nest = Callable[[Request], Awaitable[DeploymentRecord]]


class DeploymentRun:
    """Records each step in the deployment's record. Raises ArmError if the deployment failed.

    `nest` runs a nested deployment to its end.
    """

    def __init__(
        self,
        record: DeploymentRecord,
        prepared: Prepared,
        *,
        store: DeploymentStore,
        resources: Resources,
        groups: Groups,
        operations: Operations,
        nest: Nest,
    ) -> None:
        self._started = datetime.now(UTC)
        self._failures: list[Json] = []
        self._made: dict[str, list[Json]] = {}
        self._prepared = prepared
        self._store = store
        self._resources = resources
        self._groups = groups
        self._operations = operations
        self._nest = nest
        self._deployed = Deployed(resources, groups, store)
        self._record = replace(record, operations=())
        self._save(provisioningState="Running")

    async def deploy(self) -> None:
        """PUT every resource; skip the ones that depend on a failed resource."""
        tasks: dict[str, asyncio.Task[bool]] = {}
        for item in self._prepared.plan.resources:
            before = [tasks[key] for key in item.waits_for]
            tasks[item.id.key] = asyncio.create_task(self._after(before, item))
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
        if self._failures:
            raise self._fail(ArmError(409, "DeploymentFailed", _FAILED, self._failures))
        made = [entry for item in self._prepared.plan.resources for entry in self._made[item.id.key]]
        self._save(outputResources=sorted(made, key=lambda entry: entry["id"].lower()))

    async def outputs(self) -> Json:
        """`{name: {type, value}}`, in the template's spelling."""
        results: Json = {}
        for name, output in self._prepared.template.outputs.items():
            try:
                shown = await self._output(name, output)
            except (ExpressionError, ArmError) as error:
                detail = {"code": "DeploymentOutputEvaluationFailed", "target": name, "message": str(error)}
                message = (
                    f"Unable to evaluate template outputs: '{name}'. Please see error details and deployment"
                    " operations. Please see https://aka.ms/arm-common-errors for usage details."
                )
                failed = ArmError(400, "DeploymentOutputEvaluationFailed", message, [detail])
                raise self._fail(failed) from None
            if shown is not None:
                results[name] = shown
        return results

    def succeed(self, outputs: Json) -> None:
        """Record success, and the evaluation of outputs even if the template has none."""
        self._note("EvaluateDeploymentOutput", self._record.status_id, "OK")
        shown = {"outputs": outputs} if "outputs" in self._record.template else {}
        self._save(provisioningState="Succeeded", **shown)

    async def _after(self, before: Sequence[asyncio.Task[bool]], item: PlannedResource) -> bool:
        """Whether the resource was deployed. Skips it if one of its dependencies was not."""
        if not all(await asyncio.gather(*before)):
            return False
        operation_id = uuid.uuid4().hex[:16].upper()
        self._note("Create", operation_id, "", item.id)
        try:
            created = await self._put(item)
        except (ArmError, ExpressionError) as error:
            failure = _failure(item, error)
            self._failures.append(failure)
            self._note("Create", operation_id, "Conflict", item.id, {"error": failure})
            return False
        self._note("Create", operation_id, "Created" if created else "OK", item.id)
        return True

    async def _put(self, item: PlannedResource) -> bool:
        """Whether the last response was 201: the resource is new, and was not created by an operation."""
        self._made[item.id.key] = [{"id": str(item.id)}]
        busy = self._operations.active(str(item.id))
        if busy is not None:
            await self._operations.finished(busy)
        if item.is_deployment:
            await self._put_deployment(item)
            return False
        body = await self._evaluate(item, item.body)
        if item.is_resource_group:
            return self._groups.put(item.id.name, body)[1]
        change = await self._resources.put(item.id, body)
        if change.operation is not None:
            ended = await self._operations.finished(change.operation)
            if ended.status != "Succeeded":
                raise _terminal_failure(ended.status, ended.error)
        return change.is_new and change.operation is None

    async def _put_deployment(self, item: PlannedResource) -> None:
        """Run a nested deployment and count its output resources as this one's."""
        given = await self._evaluate(item, nested_values(item))
        record = await self._nest(self._prepared.nested_request(item, given))
        if record.properties["provisioningState"] != "Succeeded":
            raise _nested_failure(record)
        self._made[item.id.key] = list(record.properties.get("outputResources", ()))

    async def _output(self, name: str, output: Any) -> Json | None:
        if not isinstance(output, dict) or not output.keys() & {"value", "copy"}:
            raise ExpressionError(f"The template output '{name}' must be an object with 'value'.")
        if not await self._evaluate(None, output.get("condition", True)):
            return None
        value = await self._output_value(name, output)
        if value is None and output.get("nullable") is True:
            return {"type": TYPES[str(output.get("type")).lower()][0]}
        return typed_value(require_output_type(name, output.get("type"), value), value)

    async def _output_value(self, name: str, output: Json) -> Any:
        if "copy" not in output:
            return await self._evaluate(None, output["value"])
        loop = output_loop(output["copy"], f"output '{name}'")
        unrolled = {"copy": [{"name": "", "count": loop.count, "input": loop.input}]}
        return (await self._evaluate(None, unrolled))[""]

    async def _evaluate(self, item: PlannedResource | None, value: Any) -> Any:
        scope = self._prepared.scope if item is None else item.scope
        return await self._deployed.evaluate(value, self._prepared.plan.names, scope)

    def _fail(self, error: ArmError) -> ArmError:
        self._save(provisioningState="Failed", error=error.to_json())
        return error

    def _note(
        self,
        kind: str,
        operation_id: str,
        status_code: str,
        target: ResourceId | None = None,
        status_message: Json | None = None,
    ) -> None:
        """Add or replace one entry of `…/operations`."""
        state = "Running" if not status_code else "Failed" if status_message else "Succeeded"
        properties: Json = {
            "provisioningOperation": kind,
            "provisioningState": state,
            "timestamp": now_text(),
            "duration": self._duration(),
            "trackingId": str(uuid.uuid4()),
        }
        if status_code:
            properties["statusCode"] = status_code
        if status_message:
            properties["statusMessage"] = status_message
        if target is not None:
            properties["targetResource"] = {
                "id": str(target),
                "resourceType": target.type,
                "resourceName": "/".join(target.names),
            }
        entry = {
            "id": f"{self._record.id}/operations/{operation_id}",
            "operationId": operation_id,
            "properties": properties,
        }
        others = [item for item in self._record.operations if item["operationId"] != operation_id]
        self._record = replace(self._record, operations=(*others, entry))
        self._save()

    def _save(self, **changes: Any) -> None:
        now = now_text()
        self._record = self._record.with_properties(timestamp=now, duration=self._duration(), **changes)
        self._store.put(self._record)

    def _duration(self) -> str:
        return f"PT{(datetime.now(UTC) - self._started).total_seconds():.7f}S"


def _failure(item: PlannedResource, error: ArmError | ExpressionError) -> Json:
    if isinstance(error, ArmError):
        return {"target": str(item.id), **error.to_json()}
    message = f"Unable to process template language expressions for resource '{item.id}': '{error}'"
    return {"target": str(item.id), "code": "InvalidTemplate", "message": message}


def _terminal_failure(status: str, error: Json | None) -> ArmError:
    return ArmError(
        409,
        "ResourceDeploymentFailure",
        "The resource write operation failed to complete successfully, because it reached terminal"
        f" provisioning state '{status}'.",
        [error] if error else (),
    )


def _nested_failure(record: DeploymentRecord) -> ArmError:
    error = record.properties.get("error")
    if error is None:
        return _terminal_failure(record.properties["provisioningState"], None)
    return ArmError(409, error["code"], error["message"], error.get("details", ()))
