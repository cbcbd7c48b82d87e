"""The part of a stored `properties.template` that decides how replicas run, as frozen objects.

Reads documents that `defaults` has accepted; refuses nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from containerapps_emulator.apps.documents.scale import ScalePlan, read_scale
from containerapps_emulator.state import Json

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
class VolumeSecret:
    """A secret of the app as a file of a volume."""

    secret: str
    path: str


@dataclass(frozen=True, slots=True)
class Volume:
    name: str
    storage_type: str  # AzureFile, EmptyDir or Secret
    storage_name: str
    secrets: tuple[VolumeSecret, ...] = ()  # none: all that the app has, each under its name


@dataclass(frozen=True, slots=True)
class ContainerTemplate:
    name: str
    image: str
    command: tuple[str, ...]
    variables: tuple[Variable, ...]
    probes: tuple[Probe, ...]
    mounts: tuple[VolumeMount, ...]
    cores: float
    memory_gib: float


@dataclass(frozen=True, slots=True)
class RevisionTemplate:
    containers: tuple[ContainerTemplate, ...]
    initial: tuple[ContainerTemplate, ...]  # each runs to its end, in this order, before the others start
    volumes: tuple[Volume, ...]
    scale: ScalePlan
    grace_seconds: float

    @property
    def main(self) -> ContainerTemplate:
        """The first container: it takes the ingress's requests."""
        return self.containers[0]

    @property
    def sidecars(self) -> tuple[ContainerTemplate, ...]:
        return self.containers[1:]

    @property
    def cores(self) -> float:
        return sum(container.cores for container in self.containers)

    @property
    def memory_gib(self) -> float:
        return sum(container.memory_gib for container in self.containers)


def read_template(template: Json) -> RevisionTemplate:
    return RevisionTemplate(
        containers=tuple(_container(item) for item in template["containers"]),
        initial=tuple(_container(item) for item in template.get("initContainers") or ()),
        volumes=tuple(_volume(item) for item in template.get("volumes") or ()),
        scale=read_scale(template.get("scale") or {}),
        grace_seconds=_number(template.get("terminationGracePeriodSeconds"), 30),
    )


def _container(container: Json) -> ContainerTemplate:
    resources = container.get("resources") or {}
    return ContainerTemplate(
        name=container["name"],
        image=container["image"],
        command=(*(container.get("command") or ()), *(container.get("args") or ())),
        variables=tuple(_variable(item) for item in container.get("env") or ()),
        probes=tuple(_probe(item) for item in container.get("probes") or ()),
        mounts=tuple(_mount(item) for item in container.get("volumeMounts") or ()),
        cores=_number(resources.get("cpu"), 0.5),
        memory_gib=memory_gib(resources.get("memory") or "1Gi"),
    )


def _mount(item: Json) -> VolumeMount:
    """A relative path begins at the root."""
    return VolumeMount(item["volumeName"], "/" + item["mountPath"].strip("/"), item.get("subPath") or "")


def _volume(item: Json) -> Volume:
    secrets = tuple(
        VolumeSecret(secret["secretRef"], secret.get("path") or secret["secretRef"])
        for secret in item.get("secrets") or ()
    )
    return Volume(item["name"], item.get("storageType") or "EmptyDir", item.get("storageName") or "", secrets)


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
