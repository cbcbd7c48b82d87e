"""The identities of an app or an environment: which were sent, and the ids that Azure gives them.

Ids are derived, so that the same identity has the same ids everywhere and after every restart.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.subscription import LOCAL_TENANT_ID
from containerapps_emulator.state import Json

NONE: Final = "None"
SYSTEM: Final = "SystemAssigned"
USER: Final = "UserAssigned"
_NAMESPACE: Final = uuid.UUID("5b1b3f52-0f6f-4a39-8b8f-6f2b6c0d7a11")


@dataclass(frozen=True, slots=True)
class Assigned:
    """One identity that an app or a job has."""

    resource_id: str  # of the identity; of the app itself where that is system-assigned
    principal_id: str
    client_id: str
    is_system: bool


def assigned(stored: Json | None, resource_id: str) -> tuple[Assigned, ...]:
    """The identities of a stored app or job."""
    kinds = (stored or {}).get("type") or NONE
    names = [resource_id] if SYSTEM in kinds else []
    others = (stored or {}).get("userAssignedIdentities") or ()
    return tuple(
        Assigned(name, _id("principal", name), _id("client", name), is_system=name in names)
        for name in (*names, *others)
    )


def of_user(resource_id: str) -> Assigned:
    """The user-assigned identity of that id."""
    return Assigned(resource_id, _id("principal", resource_id), _id("client", resource_id), is_system=False)


def checked_identity(sent: object) -> Json | None:
    """The identity to store: its type as Azure spells it, and names of others. Raises ArmError."""
    if sent is None:
        return None
    if not isinstance(sent, dict):
        raise _refusal("'identity' must be an object")
    named = sent.get("userAssignedIdentities")
    if named is not None and not isinstance(named, dict):
        raise _refusal("'identity.userAssignedIdentities' must be an object")
    kinds = _kinds(sent.get("type"))
    if USER in kinds and not named:
        raise _refusal("'identity.userAssignedIdentities' must name an identity")
    names: Json = {name: {} for name, value in (named or {}).items() if value is not None}
    return {"type": ", ".join(kinds), **({"userAssignedIdentities": names} if USER in kinds else {})}


def shown_identity(stored: Json | None, resource_id: str) -> Json:
    """The identity as it is answered, with the ids that it has."""
    kind = (stored or {}).get("type") or NONE
    shown: Json = {"type": kind}
    if SYSTEM in kind:
        shown |= {"principalId": _id("principal", resource_id), "tenantId": LOCAL_TENANT_ID}
    names = (stored or {}).get("userAssignedIdentities") or ()
    if names:
        shown["userAssignedIdentities"] = {
            name: {"principalId": _id("principal", name), "clientId": _id("client", name)} for name in names
        }
    return shown


def _kinds(sent: object) -> list[str]:
    """Clients write "SystemAssigned,UserAssigned" with and without a blank."""
    words = [word.strip() for word in (sent or NONE).split(",")] if isinstance(sent, str | None) else []
    known = {word.lower(): word for word in (NONE, SYSTEM, USER)}
    kinds = [known.get(word.lower(), "") for word in words]
    if not kinds or "" in kinds or len(set(kinds)) < len(kinds) or (NONE in kinds and len(kinds) > 1):
        raise _refusal(f"'identity.type' is '{sent}', must be {NONE}, {SYSTEM}, {USER} or both of these")
    return [word for word in (NONE, SYSTEM, USER) if word in kinds]


def _id(kind: str, name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{kind} {name.lower()}"))


def _refusal(problem: str) -> ArmError:
    return ArmError(
        400,
        "InvalidRequestContent",
        f"The request content was invalid and could not be deserialized: {problem}.",
    )
