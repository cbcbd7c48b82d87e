"""What Container Apps makes of `properties.template` that a client sent: refusals first, then its defaults.

Pure: documents in, documents out. The names of the checks' errors are Azure's where they are known.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

from remora.localcloud.apps.template import memory_gib
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.state import Json

INVALID: Final = "InvalidParameterValueInContainerTemplate"
SUFFIX: Final = re.compile(r"[a-z]([a-z0-9]|-(?!-))*(?<!-)")
PROBE_KINDS: Final = ("Liveness", "Readiness", "Startup")
PROBE_RANGES: Final = {
    "initialDelaySeconds": (1, 60),
    "periodSeconds": (1, 240),
    "timeoutSeconds": (1, 240),
    "successThreshold": (1, 10),
    "failureThreshold": (1, 10),
    "terminationGracePeriodSeconds": (0, 3600),
}
DISKS: Final = ((0.25, "1Gi"), (0.5, "2Gi"), (1.0, "4Gi"), (math.inf, "8Gi"))  # up to so many vCPUs
MOST_REPLICAS: Final = 1000
MOST_GRACE_SECONDS: Final = 600


def template_with_defaults(sent: Json) -> Json:
    """The template to store. Raises ArmError."""
    containers = sent.get("containers") or []
    if len(containers) != 1 or sent.get("initContainers"):
        raise ArmError(
            400, INVALID, f"The template has {len(containers)} containers and"
            f" {len(sent.get('initContainers') or [])} init containers; the local cloud runs one container."
        )  # fmt: skip
    volumes = [_given(volume) for volume in sent.get("volumes") or ()] or None
    _require("template.volumes", volumes, "name")
    for volume in volumes or ():
        if (kind := volume.get("storageType") or "EmptyDir") not in ("AzureFile", "EmptyDir"):
            raise not_emulated(f"volumes of storageType {kind}")
    grace = sent.get("terminationGracePeriodSeconds")
    _check_range("terminationGracePeriodSeconds", grace, 0, MOST_GRACE_SECONDS)
    return {
        **sent,
        "revisionSuffix": _suffix(sent.get("revisionSuffix") or ""),
        "terminationGracePeriodSeconds": grace,
        "containers": [_container(containers[0], {volume["name"] for volume in volumes or ()})],
        "initContainers": None,
        "scale": _scale(sent.get("scale") or {}),
        "volumes": volumes,
        "serviceBinds": sent.get("serviceBinds"),
    }


def not_emulated(what: str) -> ArmError:
    """An app with it runs on Azure and not here; better refused than half emulated."""
    return ArmError(400, "NotEmulated", f"The local cloud does not emulate {what}.")


def _given(sent: Json) -> Json:
    """What is not null: of the kinds that a rule or a volume can be, clients send the others as null."""
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


def _container(sent: Json, volumes: set[str]) -> Json:
    for name in ("name", "image"):
        if not sent.get(name):
            raise ArmError(400, INVALID, f"Field 'template.containers[0].{name}' is required.")
    container = {name: value for name, value in sent.items() if value is not None}
    _require("template.containers[0].env", container.get("env"), "name")
    for mount in container.get("volumeMounts", ()):
        _check_mount(mount, volumes)
    kinds = [_checked_probe(probe) for probe in container.get("probes", ())]
    for kind in PROBE_KINDS:
        if kinds.count(kind) > 1:
            message = f"There are {kinds.count(kind)} probes of type {kind}; one of each type is allowed."
            raise ArmError(400, INVALID, message)
    return {**container, "resources": _resources(sent.get("resources") or {})}


def _check_mount(mount: Json, volumes: set[str]) -> None:
    if mount.get("volumeName") not in volumes:
        raise ArmError(
            400, INVALID, f"Volume '{mount.get('volumeName')}' is mounted and not in template.volumes."
        )
    path = mount.get("mountPath") or ""
    if not path.startswith("/") or ".." in f"{path}/{mount.get('subPath') or ''}".split("/"):
        raise ArmError(
            400, INVALID, f"Mount path '{path}' of volume '{mount['volumeName']}' is not absolute."
        )


def _checked_probe(probe: Json) -> str:
    """Its type, spelled as Azure spells it."""
    kind, http = str(probe.get("type") or "").capitalize(), probe.get("httpGet")
    target = http or probe.get("tcpSocket")
    if kind not in PROBE_KINDS or not target or not target.get("port"):
        message = f"Probe '{probe.get('type')}' needs a type and an httpGet or tcpSocket with a port."
        raise ArmError(400, INVALID, message)
    _check_range(f"{kind} probe: port", target["port"], 1, 65535)
    _require(f"{kind} probe: httpHeaders", (http or {}).get("httpHeaders"), "name", "value")
    if http and (http.get("scheme") or "HTTP").upper() == "HTTPS":
        raise not_emulated("HTTPS probes")
    for name, (least, most) in PROBE_RANGES.items():
        once = name == "successThreshold" and kind != "Readiness"
        _check_range(f"{kind} probe: {name}", probe.get(name), least, 1 if once else most)
    return kind


def _resources(sent: Json) -> Json:
    memory, cpu = str(sent.get("memory") or "1Gi"), sent.get("cpu") or 0.5
    try:
        cores, gib = float(cpu), memory_gib(memory)
    except ValueError:
        cores, gib = 0.0, 0.0
    if not (0 < cores < math.inf and 0 < gib < math.inf):
        message = f"Container resources are invalid: cpu '{cpu}', memory '{memory}'."
        raise ArmError(400, "ContainerAppInvalidResourceTotal", message)
    disk = next(size for most, size in DISKS if cores <= most)
    return {**sent, "cpu": cpu, "memory": memory.replace(".0Gi", "Gi"), "ephemeralStorage": disk}


def _scale(sent: Json) -> Json:
    least, most = sent.get("minReplicas"), sent.get("maxReplicas") or 10
    _check_range("scale.maxReplicas", most, 1, MOST_REPLICAS)
    if not isinstance(least or 0, int) or not 0 <= (least or 0) <= most:
        raise ArmError(400, INVALID, f"scale.minReplicas {least} is not between 0 and maxReplicas {most}.")
    for rule in sent.get("rules") or ():
        _check_rule(rule)
    return {
        "minReplicas": least,
        "maxReplicas": most,
        "cooldownPeriod": sent.get("cooldownPeriod") or 300,
        "pollingInterval": sent.get("pollingInterval") or 30,
        "rules": [_given(rule) for rule in sent.get("rules") or ()] or None,
    }


def _check_rule(rule: Json) -> None:
    kinds = [kind for kind in ("http", "tcp", "custom", "azureQueue") if rule.get(kind) is not None]
    if not rule.get("name") or len(kinds) != 1:
        message = f"Scale rule '{rule.get('name')}' needs a name and one of http, tcp, custom, azureQueue."
        raise ArmError(400, INVALID, message)
    wanted = (rule.get("http") or {}).get("metadata") or {}
    value = str(wanted.get("concurrentRequests", "10"))
    if not value.isdecimal() or int(value) < 1:
        message = f"Scale rule '{rule['name']}': concurrentRequests is '{value}', must be at least 1."
        raise ArmError(400, INVALID, message)


def _require(field: str, items: list[Json] | None, *names: str) -> None:
    for number, item in enumerate(items or ()):
        for name in names:
            if not item.get(name):
                raise ArmError(400, INVALID, f"Field '{field}[{number}].{name}' is required.")


def _check_range(name: str, value: Any, least: int, most: int) -> None:
    if value is not None and (not isinstance(value, int) or not least <= value <= most):
        raise ArmError(400, INVALID, f"{name} is {value}, must be between {least} and {most}.")
