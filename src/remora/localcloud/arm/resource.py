"""The seam between ARM and the services behind it: ids, errors, and what a resource handler promises.

ARM (routing, storing, long-running operations) knows no service; a service knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, runtime_checkable

from starlette.routing import BaseRoute

from remora.localcloud.state import Json

_RESOURCE_GROUP = "microsoft.resources/resourcegroups"


class ArmError(Exception):
    """Becomes `{"error": {"code", "message", "details"?, "additionalInfo"?}}` with this HTTP status."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Json] = (),
        additional_info: Sequence[Json] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.additional_info = tuple(additional_info)

    def to_json(self) -> Json:
        """The error object, without the envelope."""
        error: Json = {"code": self.code, "message": self.message}
        if self.details:
            error["details"] = list(self.details)
        if self.additional_info:
            error["additionalInfo"] = list(self.additional_info)
        return error


@dataclass(frozen=True, slots=True)
class ResourceId:
    """`/subscriptions/{}/resourceGroups/{}/providers/{namespace}/{type}/{name}[/{type}/{name}…]`.

    `type` is the full type ("Microsoft.App/managedEnvironments/storages"), with one name for each
    segment after the namespace. Spelling is kept; `key` is what ids are compared by. Without a group it
    is the subscription's: a resource group, or a deployment to the subscription.
    """

    subscription: str
    group: str
    type: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        namespace, *types = self.type.split("/")
        if self.type.lower() == _RESOURCE_GROUP:
            return f"/subscriptions/{self.subscription}/resourceGroups/{self.name}"
        pairs = "".join(f"/{kind}/{name}" for kind, name in zip(types, self.names, strict=True))
        return f"{self.group_id}/providers/{namespace}{pairs}"

    @property
    def group_id(self) -> str:
        """The resource group's id, or the subscription's."""
        subscription = f"/subscriptions/{self.subscription}"
        return f"{subscription}/resourceGroups/{self.group}" if self.group else subscription

    @property
    def key(self) -> str:
        return str(self).lower()

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def parent(self) -> ResourceId | None:
        if len(self.names) == 1:
            return None
        return ResourceId(self.subscription, self.group, self.type.rsplit("/", 1)[0], self.names[:-1])

    def child(self, kind: str, name: str) -> ResourceId:
        return ResourceId(self.subscription, self.group, f"{self.type}/{kind}", (*self.names, name))


class Wire(Enum):
    """How a change is answered; the shapes are those of the recordings."""

    SYNC = auto()  # 200/201 with the resource, done
    ASYNC_OPERATION = auto()  # 201 with the resource and an Azure-AsyncOperation header (PATCH: 202)
    LOCATION = auto()  # 202 without a body and a Location header


class ResourceHandler(Protocol):
    """One stored resource type. Documents are what a client sent plus what the service adds.

    ARM calls `accept` (fast; refuses with ArmError), stores its answer with provisioningState
    "InProgress", runs `complete` as the operation, and stores that answer. After a crash an unfinished
    `complete` is run again, so it must be idempotent.
    """

    type: str
    put_wire: Wire
    patch_wire: Wire
    delete_wire: Wire

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        """The document to store: validated, defaults filled in. Raises ArmError."""

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        """Do the work and return the final document. Raises ArmError where the work failed."""

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        """What GET returns: secrets withheld, live status filled in. Includes id, name and type."""

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        """Stop and remove what the resource stands for (the document itself is ARM's)."""

    async def action(self, resource_id: ResourceId, stored: Json, name: str, body: Json) -> Json | str | None:
        """POST …/{name} (lower-cased), e.g. listkeys. Raises ArmError 404 for an unknown action."""


@runtime_checkable
class DiscoveringHandler(ResourceHandler, Protocol):
    """A stored type whose resources also come and go without ARM, as shares do by the Files API."""

    def discover(self, parent: ResourceId) -> Mapping[str, Json]:
        """What is there at this moment below a parent: the document of each name that ARM may not know."""


class VirtualHandler(Protocol):
    """A resource type that is derived, not stored: revisions, replicas. Read-only but for actions."""

    type: str

    def get(self, resource_id: ResourceId) -> Json | None:
        """The document, or None."""

    def list(self, parent: ResourceId) -> list[Json]:
        """All documents under a parent."""

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | None:
        """POST …/{name} (lower-cased). Raises ArmError 404 for an unknown action."""


class Service(Protocol):
    """One emulated resource provider."""

    namespace: str
    handlers: Sequence[ResourceHandler]
    virtual_handlers: Sequence[VirtualHandler]
    routes: Sequence[BaseRoute]
    """Further HTTP routes that are no resources: log streams."""

    async def start(self) -> None:
        """Bring up what the stored documents say should run."""

    async def stop(self) -> None:
        """Stop what runs, gracefully; documents stay."""
