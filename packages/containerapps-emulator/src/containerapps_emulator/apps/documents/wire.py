"""Shapes that several Container Apps documents share: locations, tokens, refusals."""

from __future__ import annotations

from datetime import datetime

from containerapps_emulator.arm.locations import LOCATIONS, normal_location
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json


def display_location(location: str | None) -> str:
    """Container Apps answers "East US" where "eastus" was sent."""
    name = location or "local"
    return LOCATIONS.get(normal_location(name) or "", name)


def without_nulls(document: Json) -> Json:
    """Null at the top of a document means "not given", and is not answered."""
    return {name: value for name, value in document.items() if value is not None}


def auth_token(
    resource_id: str, name: str, kind: str, location: str | None, issued: tuple[str, datetime]
) -> Json:
    token, expires = issued
    return {
        "location": display_location(location),
        "properties": {"token": token, "expires": expires.strftime("%Y-%m-%dT%H:%M:%S.%fZ")},
        "id": resource_id,
        "name": name,
        "type": f"{kind}/accesstoken",
    }


def unknown_action(kind: str, name: str) -> ArmError:
    return ArmError(404, "NotFound", f"The resource type '{kind}' has no action '{name}' here.")


def revision_not_found(app: str, revision: str) -> ArmError:
    return ArmError(404, "RevisionNotFound", f"Revision '{revision}' of container app '{app}' was not found.")
