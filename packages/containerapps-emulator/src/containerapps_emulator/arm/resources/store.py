"""Resources on disk: one record each, found by id, parent, group or type. Validates nothing."""

from __future__ import annotations

from dataclasses import dataclass

from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.state import Json, State

_KIND = "resources"


@dataclass(frozen=True, slots=True)
class Record:
    """A resource. `created`: its first operation has succeeded; only then can it have children."""

    id: ResourceId
    document: Json
    created: bool


class ResourceStore:
    """Records by id, compared case-insensitively."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get(self, resource_id: ResourceId) -> Record | None:
        body = self._state.get(_KIND, resource_id.key)
        return None if body is None else _record(body)

    def put(self, record: Record) -> None:
        identity = record.id
        body = {
            "subscription": identity.subscription,
            "group": identity.group,
            "type": identity.type,
            "names": list(identity.names),
            "extends": identity.extends,
            "document": record.document,
            "created": record.created,
        }
        self._state.put(_KIND, identity.key, body)

    def delete(self, resource_id: ResourceId) -> None:
        self._state.delete(_KIND, resource_id.key)

    def below(self, prefix: str) -> list[Record]:
        """All records below `prefix`, the id of a subscription, a group or a resource."""
        return [_record(body) for _, body in self._state.list(_KIND, prefix.rstrip("/") + "/")]

    def of_type(self, prefix: str, full_type: str) -> list[Record]:
        """The records of one type below `prefix`."""
        return [record for record in self.below(prefix) if record.id.type.lower() == full_type.lower()]


def _record(body: Json) -> Record:
    names, extends = tuple(body["names"]), body.get("extends", "")
    identity = ResourceId(body["subscription"], body["group"], body["type"], names, extends)
    return Record(identity, body["document"], body["created"])
