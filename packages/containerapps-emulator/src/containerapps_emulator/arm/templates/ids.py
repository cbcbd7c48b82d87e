"""The template functions that build resource ids, such as `resourceId()`. They look up no resource."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from containerapps_emulator.arm.resources.built_in import RESOURCE_GROUP
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.templates.expressions import ExpressionError

IdFunction = Callable[[Place, list[str]], str]


def _resource_id(place: Place, values: list[str]) -> str:
    """resourceId([subscription, [group,]] type, name…): in the group or in the subscription."""
    at = _type_index("resourceId", values, 2)
    before = values[:at]
    subscription = before[0] if at == 2 else place.subscription
    group = before[-1] if before else place.group
    if not group or values[at].lower() == RESOURCE_GROUP.lower():
        return _subscription_resource_id(place, values)
    prefix = f"/subscriptions/{subscription}/resourceGroups/{group}"
    return prefix + _provider_path("resourceId", values[at], values[at + 1 :])


def _subscription_resource_id(place: Place, values: list[str]) -> str:
    at = _type_index("subscriptionResourceId", values, 1)
    prefix = f"/subscriptions/{values[0] if at else place.subscription}"
    if values[at].lower() == RESOURCE_GROUP.lower() and len(values) == at + 2:
        return f"{prefix}/resourceGroups/{values[at + 1]}"
    return prefix + _provider_path("subscriptionResourceId", values[at], values[at + 1 :])


def _tenant_resource_id(_: Place, values: list[str]) -> str:
    at = _type_index("tenantResourceId", values, 0)
    return _provider_path("tenantResourceId", values[at], values[at + 1 :])


def _extension_resource_id(_: Place, values: list[str]) -> str:
    """extensionResourceId(scope, type, name…)."""
    if len(values) < 2:
        raise ExpressionError("The template function 'extensionResourceId' takes a resource id and a type.")
    return values[0].rstrip("/") + _provider_path("extensionResourceId", values[1], values[2:])


def _type_index(function: str, values: Sequence[str], most: int) -> int:
    """The index of the type argument: the first with a slash, after at most `most` others."""
    at = next((index for index, value in enumerate(values) if "/" in value), None)
    if at is None or at > most:
        raise ExpressionError(
            f"Unable to evaluate template language function '{function}': a resource type such as"
            " 'Microsoft.App/containerApps' is expected."
        )
    return at


def _provider_path(function: str, full_type: str, names: Sequence[str]) -> str:
    namespace, *types = full_type.split("/")
    if len(types) != len(names):
        raise ExpressionError(
            f"Unable to evaluate template language function '{function}': the type '{full_type}' requires"
            f" '{len(types)}' resource name argument(s)."
        )
    pairs = "".join(f"/{kind}/{name}" for kind, name in zip(types, names, strict=True))
    return f"/providers/{namespace}{pairs}"


ID_FUNCTIONS: dict[str, IdFunction] = {
    "extensionresourceid": _extension_resource_id,
    "resourceid": _resource_id,
    "subscriptionresourceid": _subscription_resource_id,
    "tenantresourceid": _tenant_resource_id,
}
