"""What an app runs, without a platform: image, command, environment, probes, size, scale. Reads no cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from remora.azure.app.state import SHARE_URL_VARIABLE, AppState
from remora.errors import NotOffered, listed

_GRACE_SECONDS = 30
_GIB = "Gi"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """One HTTP probe; `kind` is Readiness, Liveness or Startup."""

    kind: str
    path: str
    port: int
    initial_delay_seconds: int
    period_seconds: int
    timeout_seconds: int
    failure_threshold: int


@dataclass(frozen=True, slots=True)
class Workload:
    """One container with a share. `secrets` maps variables to the names of secrets, never to values.

    `hours` is the scale in words if replicas stay awake at certain hours; "" otherwise.
    """

    name: str
    image: str
    command: Sequence[str]
    args: Sequence[str]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    port: int
    probes: Sequence[Probe]
    cpu: float
    memory_gib: float
    gpus: int
    min_replicas: int
    max_replicas: int
    grace_seconds: int
    mount: str
    hours: str


def workload_of(name: str, state: AppState, *, gpus: int) -> Workload:
    """What the app's newest template runs. Raises NotOffered for what has no counterpart elsewhere."""
    template: Json = state.template
    containers: list[Json] = [*template["containers"], *(template.get("initContainers") or ())]
    if len(containers) > 1:
        raise NotOffered(
            f"app {name!r} has {len(containers)} containers: {listed(item['name'] for item in containers)}",
            hint="export covers apps with one container; write the manifests of the others by hand",
        )
    container = containers[0]
    mounts: list[Json] = container.get("volumeMounts") or []
    if len(mounts) != 1:
        raise NotOffered(
            f"container {container['name']!r} mounts {len(mounts)} volumes; one share is expected",
            hint="export covers apps that mount one share",
        )
    environment: list[Json] = container.get("env") or []
    if any(item["name"] == SHARE_URL_VARIABLE for item in environment):
        raise NotOffered(
            f"app {name!r} reads its share as a managed identity, which only Azure has",
            hint="export covers apps that mount their share",
        )
    probes = [_probe(item) for item in container.get("probes") or () if item.get("httpGet")]
    resources = container.get("resources") or {}
    return Workload(
        name=name,
        image=state.image,
        command=container.get("command") or (),
        args=container.get("args") or (),
        variables={
            item["name"]: str(item.get("value") or "") for item in environment if not item.get("secretRef")
        },
        secrets={item["name"]: str(item["secretRef"]) for item in environment if item.get("secretRef")},
        port=next((probe.port for probe in probes), 7860),
        probes=probes,
        cpu=float(resources.get("cpu") or 0.5),
        memory_gib=float(str(resources.get("memory") or "1Gi").removesuffix(_GIB)),
        gpus=gpus,
        min_replicas=state.scale.min_replicas,
        max_replicas=state.scale.max_replicas,
        grace_seconds=int(template.get("terminationGracePeriodSeconds") or _GRACE_SECONDS),
        mount=str(mounts[0]["mountPath"]),
        hours=str(state.scale) if state.scale.warm_replicas else "",
    )


def _probe(document: Json) -> Probe:
    asked = document["httpGet"]
    return Probe(
        kind=str(document["type"]),
        path=str(asked.get("path") or "/"),
        port=int(asked["port"]),
        initial_delay_seconds=int(document.get("initialDelaySeconds") or 0),
        period_seconds=int(document.get("periodSeconds") or 10),
        timeout_seconds=int(document.get("timeoutSeconds") or 1),
        failure_threshold=int(document.get("failureThreshold") or 3),
    )
