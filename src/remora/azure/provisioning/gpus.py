"""Checks GPUs before a deployment: the region's offer, the quota, and the existing profile. Changes nothing.

Missing information from the cloud is a warning, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.provisioning.existing import GPU_PROFILE_NAME, environment_profiles
from remora.azure.provisioning.template import Wanted, profile_types
from remora.errors import DeploymentNotFound, Refused, listed

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gpu:
    """A workload profile with GPUs: its quota, and the number of GPUs per replica."""

    quota: str
    per_replica: int


GPUS: Mapping[str, Gpu] = {
    "Consumption-GPU-NC24-A100": Gpu("SubscriptionConsumptionNCA100Gpus", 1),
    "Consumption-GPU-NC8as-T4": Gpu("SubscriptionConsumptionT4Gpus", 1),
    "NC24-A100": Gpu("SubscriptionNCA100Gpus", 1),
    "NC48-A100": Gpu("SubscriptionNCA100Gpus", 2),
    "NC96-A100": Gpu("SubscriptionNCA100Gpus", 4),
}


def check_gpus(clients: Clients, wanted: Wanted) -> list[str]:
    """Check that the region has the requested GPUs and that enough quota is left; return warnings.

    Raises Refused. Sends no request if no GPU is wanted.
    """
    types = [name for name in profile_types(wanted.template, wanted.parameters) if is_gpu(name)]
    if not types:
        return []
    existing = environment_profiles(clients, wanted.group, wanted.resource_ids)
    warnings: list[str] = []
    for profile in types:
        _check_unchanged(profile, existing)
        warnings += _check_offered(clients, profile, wanted.location)
        ours = any(item.get("workloadProfileType") == profile for item in existing)
        warnings += _check_quota(clients, profile, wanted, used_by_us=ours)
    return warnings


def is_gpu(profile: str) -> bool:
    """Whether a workload profile type has GPUs, by its name."""
    return "GPU" in profile or profile.startswith("NC")


def _check_unchanged(profile: str, existing: Iterable[Json]) -> None:
    for item in existing:
        if item["name"] == GPU_PROFILE_NAME and item.get("workloadProfileType") != profile:
            raise Refused(
                f"the environment's profile {GPU_PROFILE_NAME!r} is {item.get('workloadProfileType')}, and"
                f" Azure cannot change it to {profile}",
                hint="keep its type in workloadProfile, or name a new environment in acaEnvironmentName",
            )


def _check_offered(clients: Clients, profile: str, location: str) -> list[str]:
    try:
        with explained(f"reading the workload profiles of {location!r}"):
            found = [
                item.as_dict()["name"] for item in clients.apps.available_workload_profiles.get(location)
            ]
    except DeploymentNotFound:
        return [f"cannot check whether {location!r} has {profile}: the cloud does not list its profiles"]
    if profile not in found:
        gpus = listed(name for name in found if is_gpu(name)) or "none"
        raise Refused(
            f"region {location!r} has no workload profile {profile!r}; with GPUs it has: {gpus}",
            hint="choose another region with --location, or another workloadProfile",
        )
    return []


def _check_quota(clients: Clients, profile: str, wanted: Wanted, *, used_by_us: bool) -> list[str]:
    """Check the quota left; if the environment has the profile already, its use counts as its own."""
    gpu = GPUS.get(profile)
    if gpu is None:
        return [f"cannot check the quota for {profile}: its name is not known"]
    try:
        with explained(f"reading the quotas of {wanted.location!r}"):
            found: list[Json] = [item.as_dict() for item in clients.apps.usages.list(wanted.location)]
    except DeploymentNotFound:
        return [f"cannot check the quota left for {profile} in {wanted.location!r}"]
    usage = next((item for item in found if item["name"]["value"] == gpu.quota), None)
    if usage is None:
        return [f"cannot check the quota: {wanted.location!r} does not report {gpu.quota}"]
    replicas = int(wanted.parameters.get("maximumInstanceCount", 1))
    in_use = 0 if used_by_us else usage["currentValue"]
    needed, left = replicas * gpu.per_replica, int(usage["limit"] - in_use)
    if needed > left:
        raise Refused(
            f"{replicas} replicas of {profile} need {needed} GPUs; in {wanted.location!r} quota {gpu.quota}"
            f" has {max(left, 0)} of {usage['limit']:.0f} left",
            hint="ask for quota in Azure's portal, lower maximumInstanceCount, or choose another region",
        )
    if needed == left:
        return [
            f"{profile}: the quota is enough for {replicas} replicas, but not for a new revision beside them:"
            " an update then interrupts service"
        ]
    return []
