"""Owns how deployments are stored and found. Does not run them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from containerapps_emulator.arm.deployments.preparation import Outer, Request
from containerapps_emulator.arm.resources.built_in import DEPLOYMENT
from containerapps_emulator.arm.resources.paths import parse_resource_id
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.state import Json, State

_KIND = "deployments"


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """`parameters` are the bound values, secure ones too; `properties` are the ones that GET shows.

    `group` is empty for a deployment to the subscription. `outer` is the scope of the outer template, for a
    nested template in outer scope.
    """

    group: str
    name: str
    subscription: str
    tags: Json | None
    template: Json
    parameters: Json
    properties: Json
    status_id: str
    operations: tuple[Json, ...]
    location: str | None = None
    outer: Json | None = None

    @property
    def place(self) -> Place:
        return Place(self.subscription, self.group)

    @property
    def id(self) -> str:
        return str(self.place.deployment_id(self.name))

    def request(self) -> Request:
        """The request that runs it again, with its bound parameters."""
        properties = {"template": self.template, "mode": "Incremental"}
        outer = Outer.from_json(self.outer)
        return Request(self.place, self.name, properties, self.location, self.tags, outer)

    def with_properties(self, **changes: Any) -> DeploymentRecord:
        return replace(self, properties={**self.properties, **changes})

    def show(self) -> Json:
        """The deployment as GET returns it: a null parameter has no value."""
        shown = dict(self.properties)
        if "parameters" in shown:
            shown["parameters"] = {
                name: {key: item for key, item in parameter.items() if item is not None}
                for name, parameter in shown["parameters"].items()
            }
        return shown_deployment(self.place, self.name, self.location, self.tags, shown)

    def show_accepted(self) -> Json:
        """The deployment as PUT returns it: a null parameter shows its null."""
        return shown_deployment(self.place, self.name, self.location, self.tags, self.properties)


def shown_deployment(
    place: Place, name: str, location: str | None, tags: Json | None, properties: Json
) -> Json:
    """The JSON of a deployment; one to the subscription has a location, one to a group has none."""
    optional = {"location": location if not place.group else None, "tags": tags}
    return {
        "id": str(place.deployment_id(name)),
        "name": name,
        "type": DEPLOYMENT,
        **{key: value for key, value in optional.items() if value is not None},
        "properties": properties,
    }


class DeploymentStore:
    """Records by group and name."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, group: str, name: str) -> DeploymentRecord | None:
        body = self._state.get(_KIND, f"{group}/{name}")
        return None if body is None else _record(body)

    def by_id(self, deployment_id: str | ResourceId) -> DeploymentRecord | None:
        """The record of an id that an operation or a template refers to."""
        found = parse_resource_id(deployment_id) if isinstance(deployment_id, str) else deployment_id
        return None if found is None else self.get(found.group, found.name)

    def put(self, record: DeploymentRecord) -> None:
        self._state.put(_KIND, f"{record.group}/{record.name}", asdict(record))

    def delete(self, group: str, name: str) -> None:
        self._state.delete(_KIND, f"{group}/{name}")

    def below(self, group: str) -> list[DeploymentRecord]:
        """The deployments of a group, or of the subscription if `group` is empty."""
        return [_record(body) for _, body in self._state.list(_KIND, f"{group}/")]


def camel_case(name: str) -> str:
    """The name of an output or parameter as Azure returns it: SUBSCRIPTION_ID becomes subscriptioN_ID.

    ARM lower-cases the leading run of capitals, except the last one before a small letter; clients must
    compare output names case-insensitively.
    """
    letters = list(name)
    for index, letter in enumerate(letters):
        if index == 1 and not letter.isupper():
            break
        following = letters[index + 1] if index + 1 < len(letters) else ""
        if index > 0 and following and not following.isupper():
            break
        letters[index] = letter.lower()
    return "".join(letters)


def _record(body: Json) -> DeploymentRecord:
    return DeploymentRecord(**{**body, "operations": tuple(body["operations"])})
