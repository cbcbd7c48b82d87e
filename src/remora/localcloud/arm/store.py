"""Resources on disk: one record for each, found by id, by parent, by group and by type."""

from __future__ import annotations

from dataclasses import dataclass

from remora.localcloud.arm.resource import ResourceId
from remora.localcloud.state import Json, State

_KIND = "resources"


@dataclass(frozen=True, slots=True)
class Record:
    """A resource. `created` once its first operation has succeeded: only then can it have children."""

    id: ResourceId
    document: Json
    created: bool


class ResourceStore:
    """Records by id, compared without regard to case."""

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
            "document": record.document,
            "created": record.created,
        }
        self._state.put(_KIND, identity.key, body)

    def delete(self, resource_id: ResourceId) -> None:
        self._state.delete(_KIND, resource_id.key)

    def below(self, prefix: str) -> list[Record]:
        """All records whose id continues `prefix`: a subscription's, a group's or a resource's."""
        return [_record(body) for _, body in self._state.list(_KIND, prefix.rstrip("/") + "/")]

    def of_type(self, prefix: str, full_type: str) -> list[Record]:
        """Those of one type."""
        return [record for record in self.below(prefix) if record.id.type.lower() == full_type.lower()]


def _record(body: Json) -> Record:
    identity = ResourceId(body["subscription"], body["group"], body["type"], tuple(body["names"]))
    return Record(identity, body["document"], body["created"])
