"""Template deployments: accepted, run resource by resource, written down at every step.

A deployment that a crash interrupted is run again from its start; PUT of a resource that is there
already changes nothing, so it ends where it would have ended.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from remora.localcloud.arm import parameters
from remora.localcloud.arm.deployment_record import (
    DeploymentRecord,
    DeploymentStore,
    camel_case,
    template_hash,
)
from remora.localcloud.arm.deployment_run import DeploymentRun
from remora.localcloud.arm.expressions import ExpressionError
from remora.localcloud.arm.groups import Groups
from remora.localcloud.arm.lenient_json import Position
from remora.localcloud.arm.operations import Operation, Operations
from remora.localcloud.arm.plan import Plan, make_plan
from remora.localcloud.arm.registry import Registry
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.arm.resources import Resources
from remora.localcloud.arm.scope import Scope, Surroundings
from remora.localcloud.arm.subscription import Subscription
from remora.localcloud.arm.template import Template, invalid_template, load_template
from remora.localcloud.arm.timestamps import now_text
from remora.localcloud.state import Json

_NAME = re.compile(r"[\w().-]{1,64}")
Locate = Callable[[str], Position | None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A deployment that passed every check that needs no deployed resource."""

    template: Template
    parameters: Json
    scope: Scope
    plan: Plan


class Deployments:
    """All deployments to resource groups."""

    def __init__(
        self,
        *,
        subscription: Subscription,
        store: DeploymentStore,
        groups: Groups,
        registry: Registry,
        resources: Resources,
        operations: Operations,
    ) -> None:
        self._subscription = subscription
        self._store = store
        self._groups = groups
        self._registry = registry
        self._resources = resources
        self._operations = operations
        operations.register("deployment", self._run)

    def put(self, group: str, name: str, body: Json, locate: Locate) -> tuple[DeploymentRecord, bool]:
        """Check and start. The answer says whether the name is new. Raises ArmError, nothing changed."""
        existing = self._store.get(group, name)
        if existing is not None and self._operations.active(existing.id) is not None:
            raise ArmError(
                409,
                "DeploymentActive",
                f"The deployment with resource id '{existing.id}' cannot be saved, because this would"
                " overwrite an existing deployment which is still active. Please see"
                " https://aka.ms/arm-deploy for usage details.",
            )
        properties, prepared = self._prepare(group, name, body, locate)
        record = DeploymentRecord(
            group=self._groups.require_open(group)["name"],
            name=name,
            subscription=self._subscription.id,
            tags=body.get("tags"),
            template=properties["template"],
            parameters=prepared.parameters,
            properties=self._shown(properties, prepared, "Accepted"),
            status_id=str(8_584_000_000_000_000_000 + uuid.uuid4().int % 10**18).zfill(20),
            operations=(),
        )
        self._store.put(record)
        self._operations.begin("deployment", record.id, operation_id=record.status_id)
        return record, existing is None

    def validate(self, group: str, name: str, body: Json, locate: Locate) -> Json:
        """The properties of the deployment that would be. Raises ArmError."""
        properties, prepared = self._prepare(group, name, body, locate)
        shown = self._shown(properties, prepared, "Succeeded")
        shown |= {"timestamp": "0001-01-01T00:00:00Z", "duration": "PT0S"}
        shown["validatedResources"] = [{"id": str(item.id)} for item in prepared.plan.resources]
        return shown

    def require(self, group: str, name: str) -> DeploymentRecord:
        """Raises ArmError 404: ResourceGroupNotFound or DeploymentNotFound."""
        self._groups.require(group)
        record = self._store.get(group, name)
        if record is None:
            raise ArmError(404, "DeploymentNotFound", f"Deployment '{name}' could not be found.")
        return record

    def list_all(self, group: str) -> list[DeploymentRecord]:
        self._groups.require(group)
        return self._store.below(group)

    async def delete(self, group: str, name: str) -> bool:
        """Forget a deployment; the resources stay. False where there was none."""
        record = self._store.get(group, name)
        if record is None:
            return False
        active = self._operations.active(record.id)
        if active is not None:
            await self._operations.cancel(active)
        self._store.delete(group, name)
        return True

    async def cancel(self, group: str, name: str) -> None:
        """Stop a deployment where it is. Raises ArmError 409 for one that has ended."""
        record = self.require(group, name)
        active = self._operations.active(record.id)
        if active is None:
            raise ArmError(
                409,
                "DeploymentCannotBeCancelled",
                f"The deployment '{record.id}' has ended: nothing to stop.",
            )
        await self._operations.cancel(active)
        record = self.require(group, name)
        self._store.put(record.with_properties(provisioningState="Canceled"))

    def status(self, record: DeploymentRecord) -> Json:
        """The answer of operationStatuses."""
        state = record.properties["provisioningState"]
        error = record.properties.get("error")
        return {"status": state} | ({"error": error} if error else {})

    def _prepare(self, group: str, name: str, body: Json, locate: Locate) -> tuple[Json, Prepared]:
        properties = _checked_properties(name, body)
        template = load_template(properties["template"])
        defaults = parameters.default_values(template.parameters)
        given = parameters.given_values(template.parameters, properties.get("parameters"))
        scope = self._scope(group, name, template, given, defaults)
        try:
            bound = parameters.bind(
                template.parameters, scope.parameter, defaults.keys() | given.keys(), locate
            )
            prepared = self._plan(group, name, template, bound)
        except ExpressionError as error:
            raise invalid_template(str(error)) from None
        for item in prepared.plan.resources:
            self._registry.spelled(item.id.type)
        return properties, prepared

    def _plan(self, group: str, name: str, template: Template, bound: Json) -> Prepared:
        scope = self._scope(group, name, template, bound, {})
        shown_group = self._groups.require_open(group)
        plan = make_plan(template, scope, self._subscription.id, shown_group["name"])
        return Prepared(template, bound, scope, plan)

    def _scope(self, group: str, name: str, template: Template, given: Json, defaults: Json) -> Scope:
        surroundings = Surroundings(
            subscription=self._subscription.show(),
            tenant_id=self._subscription.tenant_id,
            group=self._groups.show(self._groups.require_open(group)),
            deployment_name=name,
        )
        return Scope(surroundings, parameters=given, defaults=defaults, variables=template.variables)

    def _shown(self, properties: Json, prepared: Prepared, state: str) -> Json:
        return {
            "templateHash": template_hash(properties["template"]),
            "parameters": parameters.echo(prepared.template.parameters, prepared.parameters),
            "mode": "Incremental",
            "provisioningState": state,
            "timestamp": now_text(),
            "duration": "PT0S",
            "correlationId": str(uuid.uuid4()),
            **prepared.plan.describe(self._registry.spelled),
        }

    async def _run(self, operation: Operation) -> None:
        record = self._store.by_id(operation.target)
        if record is None:
            raise ArmError(404, "DeploymentNotFound", f"The deployment '{operation.target}' is gone.")
        try:
            await self._deploy(record)
        except Exception as error:
            self._mark_failed(record, error)
            raise

    async def _deploy(self, record: DeploymentRecord) -> None:
        template = load_template(record.template)
        prepared = self._plan(record.group, record.name, template, record.parameters)
        run = DeploymentRun(record, self._store, self._resources, self._operations)
        await run.deploy(prepared.plan, prepared.scope)
        outputs = await run.outputs(template.outputs, prepared.plan, prepared.scope)
        run.succeed({camel_case(name): output for name, output in outputs.items()})

    def _mark_failed(self, record: DeploymentRecord, error: Exception) -> None:
        """A run that broke, rather than failed by its own account, must not be polled for ever."""
        latest = self._store.get(record.group, record.name)
        if latest is None or latest.properties["provisioningState"] == "Failed":
            return
        shown = {"code": "InternalServerError", "message": "The local cloud failed; see its log."}
        if isinstance(error, ArmError):
            shown = error.to_json()
        self._store.put(latest.with_properties(provisioningState="Failed", error=shown))


def _checked_properties(name: str, body: Json) -> Json:
    """What the local cloud can deploy: an inline template, incrementally."""
    if not _NAME.fullmatch(name):
        raise ArmError(400, "InvalidDeployment", f"The deployment name '{name}' is not valid.")
    properties: Any = body.get("properties")
    if not isinstance(properties, dict) or properties.get("template") is None:
        raise ArmError(
            400,
            "InvalidRequestContent",
            "The request content was invalid: 'properties.template' is required; linked templates are not"
            " supported by the local cloud.",
        )
    mode = properties.get("mode", "Incremental")
    if str(mode).lower() != "incremental":
        raise ArmError(
            400, "InvalidDeployment", f"The deployment mode '{mode}' is not supported by the local cloud."
        )
    return properties
