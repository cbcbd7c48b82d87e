"""Counts the capacity for more replicas of an app: nodes of its profile, serverless GPUs of its quota.

If the cloud does not report or limit it, there is no limit: the rollout then just tries. Starts no replica.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from remora.azure.app.apps import ContainerApp
from remora.azure.app.state import AppState, Revision
from remora.azure.failures import explained
from remora.azure.provisioning.gpus import GPUS
from remora.errors import RemoraError

_HALF = 0.5

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Room:
    """Capacity for replicas: `free` of `limit` are left; `what` describes the unit."""

    free: int
    limit: int
    what: str


def read_room(app: ContainerApp, state: AppState, revisions: Sequence[Revision]) -> Room | None:
    """The capacity left for the app. None if there is no limit, or the cloud does not report it."""
    with suppress(RemoraError):
        return _read(app, state, sum(one.replicas for one in revisions if one.active))
    return None


def _read(app: ContainerApp, state: AppState, ours: int) -> Room | None:
    group, name = _environment(state)
    with explained(f"reading environment {name!r}"):
        environment: Json = app.clients.apps.managed_environments.get(group, name).as_dict()
    profiles: list[Json] = (environment.get("properties") or {}).get("workloadProfiles") or []
    profile = next((one for one in profiles if one["name"] == state.workload_profile), None)
    if profile is None:
        return None
    kind, location = str(profile.get("workloadProfileType")), str(environment.get("location"))
    if kind.startswith("Consumption"):
        return _of_quota(app, kind, location, ours)
    share = _share_of_node(app, state, kind, location)
    return _of_nodes(app, group, name, str(profile["name"]), ours) if share > _HALF else None


def _of_quota(app: ContainerApp, kind: str, location: str, ours: int) -> Room | None:
    """The capacity of a serverless profile: only GPUs have a limit."""
    gpu = GPUS.get(kind)
    if gpu is None:
        return None
    with explained(f"reading the quotas of {location!r}"):
        found: list[Json] = [item.as_dict() for item in app.clients.apps.usages.list(location)]
    usage = next((item for item in found if item["name"]["value"] == gpu.quota), None)
    if usage is None:
        return None
    limit = int(usage["limit"]) // gpu.per_replica
    used = max(ours, int(usage["currentValue"]) // gpu.per_replica)
    return Room(max(limit - used, 0), limit, f"GPUs of quota {gpu.quota} in {location}")


def _of_nodes(app: ContainerApp, group: str, environment: str, profile: str, ours: int) -> Room | None:
    """The nodes of a dedicated profile, for replicas that do not share a node.

    A node that is only kept ready (`minimumCount`) also counts as current, but is free.
    """
    operations: Any = app.clients.apps.managed_environments
    with explained(f"reading the nodes of environment {environment!r}"):
        found = [item.as_dict() for item in operations.list_workload_profile_states(group, environment)]
    state: Json | None = next((item["properties"] for item in found if item["name"] == profile), None)
    if state is None:
        return None
    current, limit = int(state["currentCount"]), int(state["maximumCount"])
    used = max(ours, current if current > int(state["minimumCount"]) else 0)
    return Room(max(limit - used, 0), limit, f"nodes of workload profile {profile!r}")


def _share_of_node(app: ContainerApp, state: AppState, kind: str, location: str) -> float:
    """The share of a node that one replica takes; 0 if the cloud does not describe the nodes."""
    with explained(f"reading the workload profiles of {location!r}"):
        found: list[Json] = [
            item.as_dict() for item in app.clients.apps.available_workload_profiles.get(location)
        ]
    node: Json | None = next((item["properties"] for item in found if item["name"] == kind), None)
    if node is None:
        return 0.0
    resources = [one.get("resources") or {} for one in state.template["containers"]]
    cores = sum(float(one.get("cpu") or 0) for one in resources)
    gib = sum(float(str(one.get("memory") or "0").removesuffix("Gi")) for one in resources)
    return max(cores / float(node["cores"]), gib / float(node["memoryGiB"]))


def _environment(state: AppState) -> tuple[str, str]:
    """The resource group and name of the app's environment."""
    parts = state.environment_id.strip("/").split("/")
    return parts[3], parts[-1]
