"""One run of a deployment: resources in parallel as far as their dependencies allow, then the outputs."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from remora.localcloud.arm.deployment_record import DeploymentRecord, DeploymentStore
from remora.localcloud.arm.expressions import ExpressionError
from remora.localcloud.arm.operations import Operations
from remora.localcloud.arm.parameters import require_output_type, typed_value
from remora.localcloud.arm.plan import Names, Plan, PlannedResource
from remora.localcloud.arm.resource import ArmError, ResourceId
from remora.localcloud.arm.resources import Resources
from remora.localcloud.arm.scope import Scope
from remora.localcloud.arm.timestamps import now_text
from remora.localcloud.state import Json

_FAILED = (
    "At least one resource deployment operation failed. Please list deployment operations for details."
    " Please see https://aka.ms/arm-deployment-operations for usage details."
)


class DeploymentRun:
    """Writes what happens into the deployment's record. Raises ArmError where the deployment failed."""

    def __init__(
        self,
        record: DeploymentRecord,
        store: DeploymentStore,
        resources: Resources,
        operations: Operations,
    ) -> None:
        self._started = datetime.now(UTC)
        self._failures: list[Json] = []
        self._store = store
        self._resources = resources
        self._operations = operations
        self._record = replace(record, operations=())
        self._save(provisioningState="Running")

    async def deploy(self, plan: Plan, scope: Scope) -> None:
        """PUT everything; what depends on a failed resource is not begun."""
        tasks: dict[str, asyncio.Task[bool]] = {}
        for item in plan.resources:
            before = [tasks[key] for key in item.waits_for]
            tasks[item.id.key] = asyncio.create_task(self._after(before, item, scope, plan.names))
        try:
            await asyncio.gather(*tasks.values())
        finally:
            for task in tasks.values():
                task.cancel()
        if self._failures:
            raise self._fail(ArmError(409, "DeploymentFailed", _FAILED, self._failures))
        self._save(outputResources=[{"id": str(item.id)} for item in plan.resources])

    async def outputs(self, outputs: Json, plan: Plan, scope: Scope) -> Json:
        """`{name: {type, value}}`, in the template's spelling."""
        results: Json = {}
        for name, output in outputs.items():
            try:
                shown = await self._output(name, output, plan.names, scope)
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
        """The end: outputs are there."""
        if outputs:
            self._note("EvaluateDeploymentOutput", self._record.status_id, "OK")
            self._save(provisioningState="Succeeded", outputs=outputs)
        else:
            self._save(provisioningState="Succeeded")

    async def _after(
        self, before: Sequence[asyncio.Task[bool]], item: PlannedResource, scope: Scope, names: Names
    ) -> bool:
        """Whether the resource is there. Not begun where something before it is not."""
        if not all(await asyncio.gather(*before)):
            return False
        operation_id = uuid.uuid4().hex[:16].upper()
        self._note("Create", operation_id, "", item.id)
        try:
            created = await self._put(item, scope, names)
        except (ArmError, ExpressionError) as error:
            failure = _failure(item, error)
            self._failures.append(failure)
            self._note("Create", operation_id, "Conflict", item.id, {"error": failure})
            return False
        self._note("Create", operation_id, "Created" if created else "OK", item.id)
        return True

    async def _put(self, item: PlannedResource, scope: Scope, names: Names) -> bool:
        busy = self._operations.active(str(item.id))
        if busy is not None:
            await self._operations.finished(busy)
        body = await self._evaluate(item.body, names, scope)
        change = await self._resources.put(item.id, body)
        if change.operation is not None:
            ended = await self._operations.finished(change.operation)
            if ended.status != "Succeeded":
                raise _terminal_failure(ended.status, ended.error)
        return change.is_new

    async def _output(self, name: str, output: Any, names: Names, scope: Scope) -> Json | None:
        if not isinstance(output, dict) or "value" not in output:
            raise ExpressionError(f"The template output '{name}' must be an object with 'value'.")
        if not await self._evaluate(output.get("condition", True), names, scope):
            return None
        value = await self._evaluate(output["value"], names, scope)
        return typed_value(require_output_type(name, output.get("type"), value), value)

    async def _evaluate(self, value: Any, names: Names, scope: Scope) -> Any:
        """Evaluate anew each time an action's answer, which only awaiting gives, is still missing."""
        runtime = _DeployedResources(self._resources, names)
        while True:
            try:
                return scope.with_runtime(runtime).evaluate(value)
            except _ActionNeededError as needed:
                answer = await self._resources.action(needed.target, needed.action, {})
                runtime.answers[needed.target.key, needed.action] = answer

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
            name = "/".join(target.names)
            properties["targetResource"] = {
                "id": str(target),
                "resourceType": target.type,
                "resourceName": name,
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


class _ActionNeededError(Exception):
    """Evaluation met a `list…()` whose answer is not known yet."""

    def __init__(self, target: ResourceId, action: str) -> None:
        super().__init__(f"{action} of {target}")
        self.target = target
        self.action = action


class _DeployedResources:
    """What `reference()` and `list…()` see."""

    def __init__(self, resources: Resources, names: Names) -> None:
        self._resources = resources
        self._names = names
        self.answers: dict[tuple[str, str], Any] = {}

    def reference(self, target: str, full: bool) -> Any:
        try:
            shown = self._resources.get(self._find(target))
        except ArmError as error:
            raise ExpressionError(error.message) from None
        return shown if full else shown.get("properties", {})

    def list_action(self, target: str, action: str) -> Any:
        identity = self._find(target)
        if (identity.key, action) not in self.answers:
            raise _ActionNeededError(identity, action)
        return self.answers[identity.key, action]

    def _find(self, target: str) -> ResourceId:
        found = self._names.find(target)
        if found is None:
            raise ExpressionError(
                f"The resource '{target}' is not defined in the template and is not a resource id."
            )
        return found


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
