"""The interface between ARM and its services: ids, errors, and the contract of a resource handler.

ARM (routing, storage, long-running operations) knows no service; a service knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Protocol, runtime_checkable

from starlette.routing import BaseRoute

from containerapps_emulator.errors import EmulatorError, disk_error
from containerapps_emulator.state import Json

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


def as_arm_error(error: Exception) -> ArmError:
    """The error that a client gets; an unexpected one only refers to the log."""
    if isinstance(error, ArmError):
        return error
    known = error if isinstance(error, EmulatorError) else disk_error(error)
    if known is None:
        return ArmError(500, "InternalServerError", "The local cloud failed; see its log.")
    return ArmError(known.http_status, type(known).__name__, f"{known.message}; {known.hint}")


@dataclass(frozen=True, slots=True)
class ResourceId:
    """`/subscriptions/{}/resourceGroups/{}/providers/{namespace}/{type}/{name}[/{type}/{name}…]`.

    `type` is the full type ("Microsoft.App/managedEnvironments/storages"), with one name per segment after
    the namespace. Ids keep their spelling and are compared by `key`. An id without a group belongs to the
    subscription: a resource group, or a deployment to the subscription. A resource that `extends` another
    one, such as a role assignment, has that one's id before its own `/providers/`.
    """

    subscription: str
    group: str
    type: str
    names: tuple[str, ...]
    extends: str = ""

    def __str__(self) -> str:
        namespace, *types = self.type.split("/")
        if self.type.lower() == _RESOURCE_GROUP:
            return f"/subscriptions/{self.subscription}/resourceGroups/{self.name}"
        pairs = "".join(f"/{kind}/{name}" for kind, name in zip(types, self.names, strict=True))
        return f"{self.extends or self.group_id}/providers/{namespace}{pairs}"

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
    def is_assignment(self) -> bool:
        """Whether it is a role assignment, which has no location and which no list of resources shows."""
        return self.type.lower().startswith("microsoft.authorization/")

    @property
    def parent(self) -> ResourceId | None:
        if len(self.names) == 1:
            return None
        return ResourceId(self.subscription, self.group, self.type.rsplit("/", 1)[0], self.names[:-1])

    def child(self, kind: str, name: str) -> ResourceId:
        return ResourceId(self.subscription, self.group, f"{self.type}/{kind}", (*self.names, name))


class Wire(Enum):
    """The kind of response to a change, as in the recordings."""

    SYNC = auto()  # 200/201 with the resource, done
    ASYNC_OPERATION = auto()  # 201 with the resource and an Azure-AsyncOperation header (PATCH: 202)
    LOCATION = auto()  # 202 without a body and a Location header


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an action that goes on after its response: a client fetches the result by a URL of it."""

    result: Json | None


class ResourceHandler(Protocol):
    """One stored resource type. A document is what a client sent plus what the service adds.

    ARM calls `accept` (fast; raises ArmError), stores its result with provisioningState "InProgress",
    runs `complete` as the operation, and stores that result. After a crash an unfinished `complete` runs
    again, so it must be idempotent.
    """

    type: str
    put_wire: Wire
    patch_wire: Wire
    delete_wire: Wire

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        """The document to store: validated, defaults filled in. Raises ArmError."""

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        """Do the work and return the final document. Raises ArmError if the work fails."""

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        """The response to GET: without secrets, with live status, id, name and type."""

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        """Stop and remove what the resource represents; ARM deletes the document."""

    async def action(
        self, resource_id: ResourceId, stored: Json, name: str, body: Json
    ) -> Json | str | Accepted | None:
        """POST …/{name} (lower-cased), e.g. listkeys. Raises ArmError 404 for an unknown action."""


@runtime_checkable
class RepeatingHandler(ResourceHandler, Protocol):
    """A stored type whose first answer to a PUT repeats what was sent, in the versions that do."""

    def first_answer(self, resource_id: ResourceId, sent: Json, stored: Json) -> Json:
        """The response to a PUT while the work goes on."""


@runtime_checkable
class DiscoveringHandler(ResourceHandler, Protocol):
    """A stored type whose resources can also appear and disappear without ARM, such as shares."""

    def discover(self, parent: ResourceId) -> Mapping[str, Json]:
        """The current children of a parent: name to document. ARM may not know all of them."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a resource; with a `kind`, to its children of that kind or to that action on it.

    Names of the query's parameters and of headers are in lower case.
    """

    method: str
    id: ResourceId
    kind: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Json


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that a service makes itself."""

    status: int
    body: Json | None
    headers: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class AnsweringHandler(ResourceHandler, Protocol):
    """A stored type with requests of its own, told apart by the query or by headers. It has ETags."""

    async def answer(self, ask: Ask) -> Answer | None:
        """The response; None for a request that every type has. Raises ArmError."""

    def show_change(self, shown: Json, body: Json) -> Json:
        """The response to a PUT of `body`, which can be less than GET shows."""


class VirtualHandler(Protocol):
    """A resource type that is derived, not stored: revisions, replicas. Read-only except for actions."""

    type: str

    def get(self, resource_id: ResourceId) -> Json | None:
        """The document, or None."""

    def list(self, parent: ResourceId) -> list[Json]:
        """All documents under a parent."""

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | Accepted | None:
        """POST …/{name} (lower-cased). Raises ArmError 404 for an unknown action."""


class Service(Protocol):
    """One emulated resource provider."""

    namespace: str
    handlers: Sequence[ResourceHandler]
    virtual_handlers: Sequence[VirtualHandler]
    routes: Sequence[BaseRoute]
    """Other HTTP routes, which are not resources, such as log streams."""

    async def start(self) -> None:
        """Start everything that the stored documents describe as running."""

    async def stop(self) -> None:
        """Stop everything gracefully; documents stay."""
