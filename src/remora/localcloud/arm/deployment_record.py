"""A deployment on disk, and the few things that ARM derives from its template."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from remora.localcloud.arm.unique_string import hash64
from remora.localcloud.state import Json, State

_KIND = "deployments"


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """`parameters` are the bound values, secure ones too; `properties` is what is shown of it all."""

    group: str
    name: str
    subscription: str
    tags: Json | None
    template: Json
    parameters: Json
    properties: Json
    status_id: str
    operations: tuple[Json, ...]

    @property
    def id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.Resources/deployments/{self.name}"
        )

    def with_properties(self, **changes: Any) -> DeploymentRecord:
        return replace(self, properties={**self.properties, **changes})

    def show(self) -> Json:
        """The deployment as GET returns it."""
        shown = {
            "id": self.id,
            "name": self.name,
            "type": "Microsoft.Resources/deployments",
            "properties": self.properties,
        }
        return shown if self.tags is None else {**shown, "tags": self.tags}


class DeploymentStore:
    """Records by group and name."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, group: str, name: str) -> DeploymentRecord | None:
        body = self._state.get(_KIND, f"{group}/{name}")
        return None if body is None else _record(body)

    def by_id(self, deployment_id: str) -> DeploymentRecord | None:
        """From the id that an operation carries."""
        segments = deployment_id.split("/")
        return self.get(segments[4], segments[-1])

    def put(self, record: DeploymentRecord) -> None:
        self._state.put(_KIND, f"{record.group}/{record.name}", asdict(record))

    def delete(self, group: str, name: str) -> None:
        self._state.delete(_KIND, f"{group}/{name}")

    def below(self, group: str) -> list[DeploymentRecord]:
        """The deployments of a group."""
        return [_record(body) for _, body in self._state.list(_KIND, f"{group}/")]


def template_hash(template: Json) -> str:
    """A decimal number that depends on the template's content and not on the order of its keys."""
    return str(hash64(json.dumps(template, sort_keys=True).encode()))


def camel_case(name: str) -> str:
    """An output's name as Azure returns it: SUBSCRIPTION_ID comes back as subscriptioN_ID.

    ARM lower-cases the leading run of capitals, all but the last where a small letter follows; clients
    must not compare output names by case.
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
