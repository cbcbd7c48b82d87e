"""The part of a stored `properties.template` that decides how replicas run, as frozen objects.

Reads documents that `defaults` has accepted; refuses nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from remora.localcloud.apps.scale import ScalePlan, read_scale
from remora.localcloud.state import Json

PROBE_DEFAULTS: Final = {
    "initialDelaySeconds": 0,  # not given: at once
    "periodSeconds": 10,
    "timeoutSeconds": 1,
    "successThreshold": 1,
    "failureThreshold": 3,
}


@dataclass(frozen=True, slots=True)
class Probe:
    kind: str  # Liveness, Readiness or Startup
    path: str | None  # None: the port need only accept a connection
    port: int
    headers: tuple[tuple[str, str], ...]
    initial_delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    success_threshold: int
    failure_threshold: int


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    value: str
    secret: str | None


@dataclass(frozen=True, slots=True)
class VolumeMount:
    volume: str
    path: str
    sub_path: str


@dataclass(frozen=True, slots=True)
class Volume:
    name: str
    storage_type: str  # AzureFile or EmptyDir
    storage_name: str


@dataclass(frozen=True, slots=True)
class RevisionTemplate:
    container: str
    image: str
    command: tuple[str, ...]
    variables: tuple[Variable, ...]
    probes: tuple[Probe, ...]
    mounts: tuple[VolumeMount, ...]
    volumes: tuple[Volume, ...]
    scale: ScalePlan
    cores: float
    memory_gib: float
    grace_seconds: float


def read_template(template: Json) -> RevisionTemplate:
    container = template["containers"][0]
    resources = container.get("resources") or {}
    return RevisionTemplate(
        container=container["name"],
        image=container["image"],
        command=(*(container.get("command") or ()), *(container.get("args") or ())),
        variables=tuple(_variable(item) for item in container.get("env") or ()),
        probes=tuple(_probe(item) for item in container.get("probes") or ()),
        mounts=tuple(
            VolumeMount(item["volumeName"], item["mountPath"], item.get("subPath") or "")
            for item in container.get("volumeMounts") or ()
        ),
        volumes=tuple(
            Volume(item["name"], item.get("storageType") or "EmptyDir", item.get("storageName") or "")
            for item in template.get("volumes") or ()
        ),
        scale=read_scale(template.get("scale") or {}),
        cores=_number(resources.get("cpu"), 0.5),
        memory_gib=memory_gib(resources.get("memory") or "1Gi"),
        grace_seconds=_number(template.get("terminationGracePeriodSeconds"), 30),
    )


def memory_gib(text: str) -> float:
    """`2Gi` and `512Mi` as numbers. Raises ValueError."""
    number, unit = text[:-2], text[-2:]
    if unit not in ("Gi", "Mi"):
        raise ValueError(text)
    return float(number) / (1 if unit == "Gi" else 1024)


def _variable(item: Json) -> Variable:
    return Variable(item["name"], item.get("value") or "", item.get("secretRef") or None)


def _probe(item: Json) -> Probe:
    http = item.get("httpGet")
    target = http or item["tcpSocket"]
    numbers = {name: _number(item.get(name), default) for name, default in PROBE_DEFAULTS.items()}
    return Probe(
        kind=item["type"].capitalize(),
        path=(http.get("path") or "/") if http else None,
        port=int(target["port"]),
        headers=tuple((header["name"], header["value"]) for header in (http or {}).get("httpHeaders") or ()),
        initial_delay_seconds=numbers["initialDelaySeconds"],
        period_seconds=numbers["periodSeconds"],
        timeout_seconds=numbers["timeoutSeconds"],
        success_threshold=int(numbers["successThreshold"]),
        failure_threshold=int(numbers["failureThreshold"]),
    )


def _number(value: Any, default: float) -> float:
    return float(default if value is None else value)
