"""Resource groups: their documents and valid names. `resources.py` owns the resources in them."""

from __future__ import annotations

import re

from containerapps_emulator.arm.locations import LOCATIONS, normal_location
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.resources.tags import checked_tags
from containerapps_emulator.state import Json, State

_KIND = "groups"
_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")


class Groups:
    """Documents `{name, location, tags, managedBy, provisioningState}` by name."""

    def __init__(self, state: State, subscription_id: str) -> None:
        self._state = state
        self._subscription_id = subscription_id

    def put(self, name: str, body: Json) -> tuple[Json, bool]:
        """Create or update; also return whether it is new. A group's location never changes."""
        if not _NAME.fullmatch(name):
            raise ArmError(
                400,
                "InvalidResourceGroup",
                f"The provided resource group name '{name}' has these invalid characters or is too long. The"
                " name can only be letters, digits, '-', '.', '(', ')' or '_'.",
            )
        existing = self._state.get(_KIND, name)
        location = self._location(body, existing)
        group = {
            "name": existing["name"] if existing else name,
            "location": location,
            "tags": checked_tags(body),
            "managedBy": body.get("managedBy"),
            "provisioningState": "Succeeded",
        }
        self._state.put(_KIND, name, group)
        return group, existing is None

    def patch(self, name: str, body: Json) -> Json:
        """Update the tags, the only property that can change."""
        group = self.require(name)
        if "tags" in body:
            group["tags"] = checked_tags(body)
        self._state.put(_KIND, name, group)
        return group

    def exists(self, name: str) -> bool:
        return self._state.get(_KIND, name) is not None

    def require(self, name: str) -> Json:
        """The group. Raises ArmError 404 ResourceGroupNotFound."""
        group = self._state.get(_KIND, name)
        if group is None:
            raise ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
        return group

    def require_open(self, name: str) -> Json:
        """The group. Raises ArmError 409 if it is being deleted."""
        group = self.require(name)
        if group["provisioningState"] == "Deleting":
            raise ArmError(
                409,
                "ResourceGroupBeingDeleted",
                f"The resource group '{group['name']}' is in deprovisioning state and cannot perform this"
                " operation.",
            )
        return group

    def mark_deleting(self, name: str) -> None:
        self._state.put(_KIND, name, {**self.require(name), "provisioningState": "Deleting"})

    def delete(self, name: str) -> None:
        self._state.delete(_KIND, name)

    def list(self) -> list[Json]:
        return [group for _, group in self._state.list(_KIND)]

    def show(self, group: Json) -> Json:
        """The group as ARM and `resourceGroup()` return it."""
        shown = {
            "id": f"/subscriptions/{self._subscription_id}/resourceGroups/{group['name']}",
            "name": group["name"],
            "type": "Microsoft.Resources/resourceGroups",
            "location": group["location"],
            "properties": {"provisioningState": group["provisioningState"]},
        }
        return shown | {key: group[key] for key in ("tags", "managedBy") if group[key] is not None}

    @staticmethod
    def _location(body: Json, existing: Json | None) -> str:
        given = body.get("location")
        if not isinstance(given, str) or not given:
            raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
        location = normal_location(given)
        if location is None:
            raise ArmError(
                400,
                "LocationNotAvailableForResourceGroup",
                f"The provided location '{given}' is not available for resource group. List of available"
                f" regions is '{','.join(LOCATIONS)}'.",
            )
        if existing and existing["location"] != location:
            raise ArmError(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{location}'. The Resource group already exists in location"
                f" '{existing['location']}'.",
            )
        return location
