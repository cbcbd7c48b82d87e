"""How stacks are stored and shown. Deploys nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.state import Json, State

STACK: Final = "Microsoft.Resources/deploymentStacks"
_KIND: Final = "deployment-stacks"
_SECURE: Final = {"securestring": "", "secureobject": {}}  # what is shown of them


@dataclass(frozen=True, slots=True)
class StackRecord:
    """`given` are the properties of the last PUT, secure parameters too; `resources` the ids that it manages.

    `deployed_to` is the group of its deployments, empty for the subscription. `detached`, `deleted` and
    `failed` are what became of unmanaged resources in the last run.
    """

    subscription: str
    group: str
    name: str
    given: Json
    deployed_to: str
    state: str
    correlation_id: str
    location: str | None = None
    tags: Json | None = None
    resources: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    failed: tuple[Json, ...] = ()
    deployment: str = ""
    """The name of the last deployment: a run that a crash interrupted goes on with it."""
    deployment_id: str = ""
    outputs: Json | None = None
    duration: str = ""
    error: Json | None = None
    system_data: Json = field(default_factory=dict)

    @property
    def place(self) -> Place:
        return Place(self.subscription, self.group)

    @property
    def id(self) -> str:
        return str(stack_id(self.place, self.name))

    def changed(self, **changes: Any) -> StackRecord:
        return replace(self, **changes)

    def show(self) -> Json:
        """The stack as GET returns it."""
        optional = {"location": self.location, "tags": self.tags}
        return {
            "id": self.id,
            "name": self.name,
            "type": STACK,
            **{key: value for key, value in optional.items() if value is not None},
            "properties": self._properties(),
            "systemData": self.system_data,
        }

    def _properties(self) -> Json:
        optional = {
            "description": self.given.get("description"),
            "deploymentScope": self.given.get("deploymentScope"),
            "deploymentId": self.deployment_id or None,
            "duration": self.duration or None,
            "outputs": self.outputs,
            "error": self.error,
        }
        return {
            "actionOnUnmanage": self.given["actionOnUnmanage"],
            "denySettings": self.given["denySettings"],
            "provisioningState": self.state,
            "correlationId": self.correlation_id,
            "parameters": self._parameters(),
            "resources": [
                {"id": identity, "status": "managed", "denyStatus": "none"} for identity in self.resources
            ],
            "detachedResources": [{"id": identity} for identity in self.detached],
            "deletedResources": [{"id": identity} for identity in self.deleted],
            "failedResources": list(self.failed),
            **{key: value for key, value in optional.items() if value is not None},
        }

    def _parameters(self) -> Json:
        """The given ones, with the types that the template declares."""
        template = self.given["template"].get("parameters") or {}
        declared = {name.lower(): item for name, item in template.items()}
        shown: Json = {}
        for name, item in (self.given.get("parameters") or {}).items():
            kind = str(declared.get(name.lower(), {}).get("type", "object")).lower()
            value = _SECURE.get(kind, item.get("value"))
            known = {"reference": item["reference"]} if item.get("reference") else {"value": value}
            shown[name] = {**known, "type": kind}
        return shown


class StackStore:
    """Records by group and name."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, place: Place, name: str) -> StackRecord | None:
        body = self._state.get(_KIND, f"{place.group}/{name}")
        return None if body is None else _record(body)

    def put(self, record: StackRecord) -> None:
        self._state.put(_KIND, f"{record.group}/{record.name}", asdict(record))

    def delete(self, record: StackRecord) -> None:
        self._state.delete(_KIND, f"{record.group}/{record.name}")

    def forget_group(self, group: str) -> None:
        """The group is deleted, and its stacks with it."""
        for key, _ in self._state.list(_KIND, f"{group}/"):
            self._state.delete(_KIND, key)

    def below(self, place: Place) -> list[StackRecord]:
        return [_record(body) for _, body in self._state.list(_KIND, f"{place.group}/")]


def stack_id(place: Place, name: str) -> ResourceId:
    return ResourceId(place.subscription, place.group, STACK, (name,))


def _record(body: Json) -> StackRecord:
    lists = {key: tuple(body[key]) for key in ("resources", "detached", "deleted", "failed")}
    return StackRecord(**{**body, **lists})
