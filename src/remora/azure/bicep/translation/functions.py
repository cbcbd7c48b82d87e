"""Bicep's functions and operators: what they are in a template. Translates nothing."""

from __future__ import annotations

from collections.abc import Mapping

NAMESPACE = "__bicep"
"""The namespace of the functions that a file declares, as in the Bicep CLI."""

LAMBDAS = {"map", "filter", "reduce", "sort", "toObject", "groupBy", "mapValues"}
SCOPES: Mapping[str, tuple[str, ...]] = {
    "resourceGroup": ("resourceGroup",),
    "subscription": ("resourceGroup", "subscription"),
    "managementGroup": ("managementGroup",),
    "tenant": ("resourceGroup", "subscription", "managementGroup", "tenant"),
}
"""The targets whose files can use these. With arguments they name another scope, for `scope:`."""

SAME = {
    *LAMBDAS,
    *SCOPES,
    *"""
    array base64 base64ToJson base64ToString bool buildUri cidrHost cidrSubnet concat contains dataUri
    dataUriToString dateTimeAdd dateTimeFromEpoch dateTimeToEpoch deployer deployment distinct empty endsWith
    environment extensionResourceId fail first flatten format guid indexOf int intersection items join json
    last lastIndexOf length like managementGroupResourceId max min newGuid objectKeys padLeft parseCidr
    parseUri pickZones providers range reference replace resourceId roleDefinitions shallowMerge skip split
    startsWith string subscriptionResourceId substring take tenantResourceId toLogicalZone toLogicalZones
    toLower toPhysicalZone toPhysicalZones toUpper trim union uniqueString uri uriComponent
    uriComponentToString utcNow
    """.split(),  # noqa: SIM905 - one name per line would fill a page
}

OPERATORS: Mapping[tuple[str, int], str] = {
    ("!", 1): "not",
    ("==", 2): "equals",
    ("&&", 2): "and",
    ("||", 2): "or",
    ("??", 2): "coalesce",
    (">", 2): "greater",
    (">=", 2): "greaterOrEquals",
    ("<", 2): "less",
    ("<=", 2): "lessOrEquals",
    ("+", 2): "add",
    ("-", 2): "sub",
    ("*", 2): "mul",
    ("/", 2): "div",
    ("%", 2): "mod",
    ("?", 3): "if",
}
"""Operators that are a function in a template; `!=`, `=~`, `!~` and the unary `-` are composed of these."""


def is_list(name: str) -> bool:
    """Whether a function reads keys or similar values: `listKeys`, `listAccountSas`, in any spelling."""
    return name.startswith("list")


def function_reference(name: str) -> str:
    """The namespace and name of a function by its name in the template."""
    return name if "." in name else f"{NAMESPACE}.{name}"
