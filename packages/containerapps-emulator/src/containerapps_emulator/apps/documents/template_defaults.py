"""What Container Apps makes of `properties.template` that a client sent: refusals first, then its defaults.

Pure: documents in, documents out. The names of the checks' errors are Azure's where they are known.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final

from containerapps_emulator.apps.documents.containers import containers_with_defaults, require
from containerapps_emulator.apps.documents.refusals import IN_TEMPLATE, check_range, invalid, not_emulated
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

SUFFIX: Final = re.compile(r"[a-z]([a-z0-9]|-(?!-))*(?<!-)")
VOLUMES: Final = ("AzureFile", "EmptyDir", "Secret")
MOST_REPLICAS: Final = 1000
MOST_GRACE_SECONDS: Final = 600


def template_with_defaults(sent: Json) -> Json:
    """The template to store. Raises ArmError."""
    volumes = [_volume(volume) for volume in sent.get("volumes") or ()] or None
    require("template.volumes", volumes, "name")
    containers, initial = containers_with_defaults(sent, {volume["name"] for volume in volumes or ()})
    grace = sent.get("terminationGracePeriodSeconds")
    check_range(IN_TEMPLATE, "terminationGracePeriodSeconds", grace, 0, MOST_GRACE_SECONDS)
    return {
        **sent,
        "revisionSuffix": _suffix(sent.get("revisionSuffix") or ""),
        "terminationGracePeriodSeconds": grace,
        "containers": containers,
        "initContainers": initial,
        "scale": _scale(sent.get("scale") or {}),
        "volumes": volumes,
        "serviceBinds": sent.get("serviceBinds"),
    }


def check_secret_references(template: Json, secrets: Collection[str]) -> None:
    """Refuse a container or a volume that refers to a secret that the app does not have."""
    for container in (*template["containers"], *(template["initContainers"] or ())):
        for variable in container.get("env", ()):
            _check_reference(variable.get("secretRef"), f"container '{container['name']}'", secrets)
    for volume in template["volumes"] or ():
        for item in volume.get("secrets") or ():
            _check_reference(item.get("secretRef"), f"volume '{volume['name']}'", secrets)


def _check_reference(reference: str | None, of: str, secrets: Collection[str]) -> None:
    if reference and reference not in secrets:
        message = f"SecretRef '{reference}' defined for {of} not found."
        raise ArmError(400, "ContainerAppSecretRefNotFound", message)


def _volume(sent: Json) -> Json:
    """What is not null: of the kinds that a volume can be, clients send the properties of others as null."""
    volume = _given(sent)
    if (kind := volume.get("storageType") or "EmptyDir") not in VOLUMES:
        raise not_emulated(f"volumes of storageType {kind}")
    require(f"template.volumes.{volume.get('name')}.secrets", volume.get("secrets"), "secretRef")
    return volume


def _given(sent: Json) -> Json:
    return {name: value for name, value in sent.items() if value is not None}


def _suffix(suffix: str) -> str:
    if suffix and not SUFFIX.fullmatch(suffix):
        raise ArmError(
            400,
            "ContainerAppInvalidRevisionName",
            f"Revision name has an invalid value '{suffix}'. A revision name must consist of lower case"
            " alphanumeric characters or '-', start with an alphabetic character, and end with an"
            " alphanumeric character.",
        )
    return suffix


def _scale(sent: Json) -> Json:
    least, most = sent.get("minReplicas"), _number(sent.get("maxReplicas"), 10)
    if not 1 <= most <= MOST_REPLICAS:
        why = f"must be between 1 and {MOST_REPLICAS}, inclusive"
        raise invalid(IN_TEMPLATE, "template.scale.maxReplicas", most, why)
    if not 0 <= (least or 0) <= most:
        why = f"scale.minReplicas {least} is not between 0 and maxReplicas {most}"
        raise invalid(IN_TEMPLATE, "template.scale.minReplicas", least, why)
    for name in ("cooldownPeriod", "pollingInterval"):
        if (sent.get(name) or 0) < 0:
            raise invalid(IN_TEMPLATE, f"template.scale.{name}", sent[name], "must not be negative")
    rules = [_rule(rule) for rule in sent.get("rules") or ()]
    names = [rule["name"] for rule in rules]
    for name in names:
        if names.count(name) > 1:
            raise invalid(IN_TEMPLATE, "template.scale.rules", name, "there are rules of the same name")
    return {
        "minReplicas": least,
        "maxReplicas": most,
        "cooldownPeriod": _number(sent.get("cooldownPeriod"), 300),
        "pollingInterval": _number(sent.get("pollingInterval"), 30),
        "rules": rules or None,
    }


def _rule(sent: Json) -> Json:
    kinds = [kind for kind in ("http", "tcp", "custom", "azureQueue") if sent.get(kind) is not None]
    if not sent.get("name") or len(kinds) != 1:
        message = f"Scale rule '{sent.get('name')}' needs a name and one of http, tcp, custom, azureQueue."
        raise ArmError(400, IN_TEMPLATE, message)
    wanted = (sent.get("http") or {}).get("metadata") or {}
    value = str(wanted.get("concurrentRequests", "10"))
    if not value.isdecimal() or int(value) < 1:
        message = f"Scale rule '{sent['name']}': concurrentRequests is '{value}', must be at least 1."
        raise ArmError(400, IN_TEMPLATE, message)
    kind: Any = sent[kinds[0]]
    return {"name": sent["name"], kinds[0]: _given(kind) if isinstance(kind, dict) else kind}


def _number(sent: Any, default: int) -> int:
    return default if sent is None else int(sent)
