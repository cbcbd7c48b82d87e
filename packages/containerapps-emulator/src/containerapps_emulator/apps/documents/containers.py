"""What Container Apps makes of the containers of a template: refusals first, then their defaults.

Pure: documents in, documents out. Owns containers and init containers, not scale and volumes.
"""

from __future__ import annotations

import math
import re
from typing import Final

from containerapps_emulator.apps.documents.refusals import IN_TEMPLATE, check_range, invalid, not_emulated
from containerapps_emulator.apps.documents.template import memory_gib
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
IMAGE: Final = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?/)?"  # a registry
    r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*"
    r"(:\w[\w.-]{0,127})?(@[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-f]{32,})?"
)
IMAGE_TYPE: Final = "ContainerImage"
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


def containers_with_defaults(template: Json, volumes: set[str]) -> tuple[list[Json], list[Json] | None]:
    """The containers and the init containers to store. Raises ArmError."""
    sent, initial = template.get("containers") or [], template.get("initContainers") or []
    if not sent:
        message = "The template has 0 containers; a container app needs at least one."
        raise ArmError(400, "ContainerAppContainersRequired", message)
    names = [item.get("name") for item in (*sent, *initial)]
    for name in names:
        if name and names.count(name) > 1:
            why = f"{names.count(name)} containers have this name"
            raise invalid(IN_TEMPLATE, f"template.containers.{name}.name", name, why)
    containers = [_container("containers", number, item, volumes) for number, item in enumerate(sent)]
    before = [_container("initContainers", number, item, volumes) for number, item in enumerate(initial)]
    for item in before:
        if item.get("probes"):
            raise invalid(IN_TEMPLATE, f"template.initContainers.{item['name']}.probes", "", "it has none")
    return containers, before or None


def resources_with_defaults(sent: Json) -> Json:
    """Cores, memory and the disk that comes with them. Raises ArmError."""
    memory, cpu = str(sent.get("memory") or "1Gi"), sent.get("cpu") or 0.5
    try:
        cores, gib = float(cpu), memory_gib(memory)
    except ValueError:
        cores, gib = 0.0, 0.0
    if not (0 < cores < math.inf and 0 < gib < math.inf):
        message = f"Container resources are invalid: cpu '{cpu}', memory '{memory}'."
        raise ArmError(400, "ContainerAppInvalidResourceTotal", message)
    disk = next(size for most, size in DISKS if cores <= most)
    return {**_given(sent), "cpu": cpu, "memory": memory.replace(".0Gi", "Gi"), "ephemeralStorage": disk}


def require(field: str, items: list[Json] | None, *names: str) -> None:
    """Refuse items of a list without one of the properties."""
    for number, item in enumerate(items or ()):
        for name in names:
            if not item.get(name):
                raise ArmError(400, IN_TEMPLATE, f"Field '{field}[{number}].{name}' is required.")


def _container(field: str, number: int, sent: Json, volumes: set[str]) -> Json:
    name, image = sent.get("name"), sent.get("image")
    where = f"template.{field}[{number}]"
    if not name:
        raise ArmError(400, IN_TEMPLATE, f"Field '{where}.name' is required.")
    if not NAME.fullmatch(name):
        why = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
        raise invalid(IN_TEMPLATE, f"template.{field}.{name}.name", name, why)
    if not image:
        message = f"Container with name '{name}' must have an 'Image' property specified."
        raise ArmError(400, "ContainerAppImageRequired", message)
    if not IMAGE.fullmatch(image):
        why = f"could not parse reference: {image}"
        raise invalid(IN_TEMPLATE, f"template.{field}.{name}.image", image, why)
    container = {key: value for key, value in sent.items() if value is not None}
    require(f"{where}.env", container.get("env"), "name")
    container["env"] = [_given(item) for item in container.get("env", ())]
    container["volumeMounts"] = [_mount(item, volumes) for item in container.get("volumeMounts", ())]
    for key in ("env", "volumeMounts", "command", "args"):
        if not container.get(key):
            container.pop(key, None)
    kinds = [_checked_probe(probe) for probe in container.get("probes", ())]
    for kind in PROBE_KINDS:
        if kinds.count(kind) > 1:
            message = f"There are {kinds.count(kind)} probes of type {kind}; one of each type is allowed."
            raise ArmError(400, IN_TEMPLATE, message)
    return {
        **container,
        "imageType": IMAGE_TYPE,
        "resources": resources_with_defaults(sent.get("resources") or {}),
    }


def _mount(sent: Json, volumes: set[str]) -> Json:
    """A relative path begins at the root of the container, as it does in Kubernetes."""
    name = sent.get("volumeName")
    if name not in volumes:
        raise ArmError(400, IN_TEMPLATE, f"Volume '{name}' is mounted and not in template.volumes.")
    path = sent.get("mountPath") or ""
    if not path.strip("/") or ".." in f"{path}/{sent.get('subPath') or ''}".split("/") or ":" in path:
        message = f"Mount path '{path}' of volume '{name}' is not a path below the root of the container."
        raise ArmError(400, IN_TEMPLATE, message)
    return _given(sent)


def _checked_probe(probe: Json) -> str:
    """Its type, spelled as Azure spells it."""
    kind, http = str(probe.get("type") or "").capitalize(), probe.get("httpGet")
    target = http or probe.get("tcpSocket")
    if kind not in PROBE_KINDS or not target or not target.get("port"):
        message = f"Probe '{probe.get('type')}' needs a type and an httpGet or tcpSocket with a port."
        raise ArmError(400, IN_TEMPLATE, message)
    check_range(IN_TEMPLATE, f"{kind} probe: port", target["port"], 1, 65535)
    require(f"{kind} probe: httpHeaders", (http or {}).get("httpHeaders"), "name", "value")
    if http and (http.get("scheme") or "HTTP").upper() == "HTTPS":
        raise not_emulated("HTTPS probes")
    for name, (least, most) in PROBE_RANGES.items():
        once = name == "successThreshold" and kind != "Readiness"
        check_range(IN_TEMPLATE, f"{kind} probe: {name}", probe.get(name), least, 1 if once else most)
    return kind


def _given(sent: Json) -> Json:
    return {name: value for name, value in sent.items() if value is not None}
