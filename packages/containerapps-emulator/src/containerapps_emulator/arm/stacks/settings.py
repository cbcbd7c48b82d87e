"""Reads what a request says of a stack: what to do with unmanaged resources, and where to deploy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from containerapps_emulator.arm.resources.built_in import RESOURCE_GROUP
from containerapps_emulator.arm.resources.paths import parse_resource_id
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.state import Json

_ACTIONS: Final = ("delete", "detach")
_UNMANAGED: Final = {
    "resources": _ACTIONS,
    "resourceGroups": _ACTIONS,
    "managementGroups": _ACTIONS,
    "resourcesWithoutDeleteSupport": ("fail", "detach"),
}
_UNSAID: Final = {
    "resources": "detach",
    "resourceGroups": "detach",
    "managementGroups": "detach",
    "resourcesWithoutDeleteSupport": "fail",
}
_DENIES_NOTHING: Final = {"applyToChildScopes": False, "excludedPrincipals": [], "excludedActions": []}
_UNSUPPORTED: Final = ("templateLink", "parametersLink", "extensionConfigs", "externalInputs")


@dataclass(frozen=True, slots=True)
class Unmanage:
    """Whether resources, and resource groups, that a stack no longer manages are deleted; else detached."""

    resources: bool
    groups: bool

    def deletes(self, identity: ResourceId) -> bool:
        return self.groups if identity.type == RESOURCE_GROUP else self.resources

    @classmethod
    def of_properties(cls, given: Json) -> Unmanage:
        action = given["actionOnUnmanage"]
        return cls(*(action.get(name, "detach") == "delete" for name in ("resources", "resourceGroups")))

    @classmethod
    def of_query(cls, query: Mapping[str, str]) -> Unmanage:
        """Of `DELETE …?unmanageAction.Resources=delete`. Raises ArmError."""
        found = {name.lower(): value for name, value in query.items()}
        asked = {name: found.get(f"unmanageaction.{name.lower()}", "detach") for name in _UNMANAGED}
        for name in ("resources", "resourceGroups", "managementGroups"):
            _one_of(f"unmanageAction.{name}", asked[name], _ACTIONS)
        return cls(asked["resources"].lower() == "delete", asked["resourceGroups"].lower() == "delete")


def checked(body: Json) -> Json:
    """The properties of a stack, with the required ones in their spelling. Raises ArmError."""
    given = body.get("properties")
    if not isinstance(given, dict):
        raise _invalid("properties", "is required")
    for name in _UNSUPPORTED:
        if given.get(name):
            raise _invalid(f"properties.{name}", "is not supported by the local cloud")
    return {
        **given,
        "actionOnUnmanage": _action(given.get("actionOnUnmanage")),
        "denySettings": _deny(given.get("denySettings")),
    }


def deployed_to(place: Place, given: Json) -> str:
    """The resource group that the stack deploys to, empty for the subscription. Raises ArmError."""
    scope = given.get("deploymentScope")
    if not scope:
        return place.group
    text = str(scope).rstrip("/")
    if text.lower() == place.id.lower():
        return place.group
    found = parse_resource_id(text)
    if (
        place.group
        or found is None
        or found.type != RESOURCE_GROUP
        or found.subscription.lower() != place.subscription.lower()
    ):
        raise _invalid("properties.deploymentScope", f"must be the stack's own or below it, not '{scope}'")
    return found.name


def _action(given: Any) -> Json:
    if not isinstance(given, dict) or "resources" not in given:
        raise _invalid("properties.actionOnUnmanage.resources", "is required")
    for name, value in given.items():
        if name not in _UNMANAGED:
            raise _invalid(f"properties.actionOnUnmanage.{name}", "is unknown")
        _one_of(f"properties.actionOnUnmanage.{name}", value, _UNMANAGED[name])
    return {**_UNSAID, **{name: str(value).lower() for name, value in given.items()}}


def _deny(given: Any) -> Json:
    """The local cloud has no roles, so it can deny nothing."""
    if not isinstance(given, dict) or "mode" not in given:
        raise _invalid("properties.denySettings.mode", "is required")
    _one_of("properties.denySettings.mode", given["mode"], ("none", "denyDelete", "denyWriteAndDelete"))
    if str(given["mode"]).lower() != "none":
        raise _invalid(
            "properties.denySettings.mode", f"'{given['mode']}' is not supported by the local cloud"
        )
    return {
        "mode": "none",
        **_DENIES_NOTHING,
        **{name: given[name] for name in _DENIES_NOTHING if name in given},
    }


def _one_of(name: str, value: Any, allowed: Collection[str]) -> None:
    if not isinstance(value, str) or value.lower() not in {item.lower() for item in allowed}:
        raise _invalid(name, f"must be one of {', '.join(allowed)}, not '{value}'")


def _invalid(name: str, what: str) -> ArmError:
    return ArmError(400, "InvalidRequestContent", f"The request content was invalid: '{name}' {what}.")
