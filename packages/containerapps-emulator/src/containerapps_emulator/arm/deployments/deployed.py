"""Resolves `reference()` and `list…()` in a running deployment's expressions. Changes no resource."""

from __future__ import annotations

from typing import Any

from containerapps_emulator.arm.deployments.plan import Names
from containerapps_emulator.arm.deployments.record import DeploymentStore
from containerapps_emulator.arm.resources.built_in import DEPLOYMENT, RESOURCE_GROUP
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.templates.expressions import ExpressionError
from containerapps_emulator.arm.templates.scope import Scope
from containerapps_emulator.state import Json


class Deployed:
    """Everything that exists now: resources, resource groups, other deployments."""

    def __init__(self, resources: Resources, groups: Groups, deployments: DeploymentStore) -> None:
        self._resources = resources
        self._groups = groups
        self._deployments = deployments

    async def evaluate(self, value: Any, names: Names, scope: Scope) -> Any:
        """Evaluate; each time an action's result is missing, await the action and evaluate again."""
        view = View(self, names)
        while True:
            try:
                return scope.with_runtime(view).evaluate(value)
            except _ActionNeededError as needed:
                answer = await self._resources.action(needed.target, needed.action, needed.body)
                view.answers[needed.target.key, needed.action] = answer

    def show(self, identity: ResourceId) -> Json:
        """Any resource, group or deployment, as GET returns it. Raises ArmError 404."""
        if identity.type.lower() == RESOURCE_GROUP.lower():
            return self._groups.show(self._groups.require(identity.name))
        if identity.type.lower() != DEPLOYMENT.lower():
            return self._resources.get(identity)
        record = self._deployments.by_id(identity)
        if record is None:
            raise ArmError(404, "DeploymentNotFound", f"Deployment '{identity.name}' could not be found.")
        return record.show()


class View:
    """A `Runtime` for the expressions of one template. Raises _ActionNeededError for a new action."""

    def __init__(self, deployed: Deployed, names: Names) -> None:
        self._deployed = deployed
        self._names = names
        self.answers: dict[tuple[str, str], Any] = {}

    def reference(self, target: str, full: bool) -> Any:
        return self._shown(self._find(target), full)

    def references(self, target: str, full: bool) -> list[Any]:
        found = self._names.find_all(target)
        return [self._shown(identity, full) for identity in found or [self._find(target)]]

    def list_action(self, target: str, action: str, body: Json) -> Any:
        identity = self._find(target)
        if (identity.key, action) not in self.answers:
            raise _ActionNeededError(identity, action, body)
        return self.answers[identity.key, action]

    def _shown(self, identity: ResourceId, full: bool) -> Any:
        try:
            shown = self._deployed.show(identity)
        except ArmError as error:
            raise ExpressionError(error.message) from None
        return shown if full else shown.get("properties", {})

    def _find(self, target: str) -> ResourceId:
        found = self._names.find(target)
        if found is None:
            raise ExpressionError(
                f"The resource '{target}' is not defined in the template and is not a resource id."
            )
        return found


class _ActionNeededError(Exception):
    """Evaluation reached a `list…()` whose result is not known yet."""

    def __init__(self, target: ResourceId, action: str, body: Json) -> None:
        super().__init__(f"{action} of {target}")
        self.target = target
        self.action = action
        self.body = body
