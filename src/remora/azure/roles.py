"""Roles for the files of a storage account: who has one, and the command that gives it. Assigns none.

Azure Files let an identity in over REST only with a role for data; Owner and Contributor are none.
https://learn.microsoft.com/azure/storage/files/authorize-oauth-rest
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.errors import DeploymentNotFound, RemoraError

API_VERSION = "2022-04-01"
_ARM_SCOPE = "https://management.azure.com/.default"
_SIGNED_IN = "$(az ad signed-in-user show --query id --output tsv)"


@dataclass(frozen=True, slots=True)
class Role:
    """A built-in role, by its name and its id."""

    name: str
    id: str


FILE_CONTRIBUTOR = Role("Storage File Data Privileged Contributor", "69566ab7-960f-475b-8e7c-b3118f30c6bd")
FILE_READER = Role("Storage File Data Privileged Reader", "b8eda974-7b85-4f76-af95-65846b26df6d")


def principal_id(clients: Clients) -> str:
    """The object id of who is signed in, as their token says it; "" if it does not."""
    if clients.profile.principal_id:
        return clients.profile.principal_id
    token = clients.credential.get_token(_ARM_SCOPE).token
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return str(claims.get("oid") or "")
    except (IndexError, ValueError):
        return ""


def has_role(clients: Clients, scope: str, principal: str, role: Role) -> bool:
    """Whether a principal has a role at a scope, also by a group or from above. Raises RemoraError."""
    with explained(f"reading the role assignments of {scope.rpartition('/')[2]!r}"):
        document = clients.request(
            "GET",
            f"{scope}/providers/Microsoft.Authorization/roleAssignments",
            {"api-version": API_VERSION, "$filter": f"assignedTo('{principal}')"},
        )
    # As an assignment spells it, the scope can be above this one, or below.
    return any(
        str(item["properties"].get("roleDefinitionId", "")).lower().endswith(role.id)
        and scope.lower().startswith(str(item["properties"].get("scope", "")).lower())
        for item in document.get("value") or ()
    )


def lacks_role(clients: Clients, scope: str, role: Role) -> bool:
    """Whether who is signed in surely lacks a role at a resource; False where that is not known.

    A resource that does not exist yet gets what is assigned at its group.
    """
    principal = principal_id(clients)
    try:
        return bool(principal) and not has_role(clients, scope, principal, role)
    except DeploymentNotFound:
        group, _, below = scope.partition("/providers/")
        return bool(below) and lacks_role(clients, group, role)
    except RemoraError:
        return False


def assign_command(scope: str, role: Role, principal: str) -> str:
    """What assigns the role; it takes the right of an Owner or a User Access Administrator."""
    who = principal or f'"{_SIGNED_IN}"'
    return f'az role assignment create --role "{role.name}" --assignee-object-id {who} --scope {scope}'
