"""What a subscription may have in a region: limits, what counts against them, and the refusal.

The limits are those of recorded subscriptions; a test or a fault gives others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from containerapps_emulator.apps.capacity.pools import Capacity
from containerapps_emulator.apps.capacity.profiles import TYPES, Profile, find_profile, read_profiles
from containerapps_emulator.apps.documents.records import AppRecord, Records, RevisionRecord
from containerapps_emulator.apps.documents.scale import read_scale
from containerapps_emulator.apps.documents.template import read_template
from containerapps_emulator.apps.documents.wire import display_location
from containerapps_emulator.arm.locations import normal_location
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.fault_table import Fault
from containerapps_emulator.faults import Faults
from containerapps_emulator.state import Json

LIMITS: Final = {
    "ManagedEnvironmentCount": 50,
    "SubscriptionNCA100Gpus": 2,
    "SessionPools": 50,  # there are none here
    "SubscriptionConsumptionNCA100Gpus": 2,
    "SubscriptionConsumptionT4Gpus": 8,
    "ConsumptionNCA100GpusEnvCount": 1,
    "ConsumptionT4GpusEnvCount": 2,
}
ENVIRONMENT_LIMITS: Final = {
    "ManagedEnvironmentGeneralPurposeCores": 500,
    "ManagedEnvironmentMemoryOptimizedCores": 500,
    "ManagedEnvironmentComputeOptimizedCores": 50,
    "ManagedEnvironmentConsumptionCores": 500,
    "ManagedEnvironmentConfidentialGeneralPurposeCores": 50,
    "ManagedEnvironmentConfidentialMemoryOptimizedCores": 50,
}
CORES_OF: Final = {
    "GeneralPurpose": "ManagedEnvironmentGeneralPurposeCores",
    "MemoryOptimized": "ManagedEnvironmentMemoryOptimizedCores",
    "ComputeOptimized": "ManagedEnvironmentComputeOptimizedCores",
    "Consumption": "ManagedEnvironmentConsumptionCores",
}
# How many environments may have a serverless profile of a kind, by the quota that its GPUs count as.
ENVIRONMENTS_WITH: Final = {
    "SubscriptionConsumptionNCA100Gpus": "ConsumptionNCA100GpusEnvCount",
    "SubscriptionConsumptionT4Gpus": "ConsumptionT4GpusEnvCount",
}


class Quotas:
    def __init__(
        self, records: Records, capacity: Capacity, faults: Faults, limits: Mapping[str, int] | None = None
    ) -> None:
        self._records = records
        self._capacity = capacity
        self._faults = faults
        self._limits = {**LIMITS, **(limits or {})}

    def limit(self, name: str, location: str) -> int:
        """None of a kind of GPU that the region does not have."""
        if name in ENVIRONMENT_LIMITS:
            return ENVIRONMENT_LIMITS[name]
        kinds = [kind for kind in TYPES.values() if kind.gpu_quota == name]
        if kinds and not any(kind.is_offered(location) for kind in kinds):
            return 0
        return self._limits[name]

    def usages(self, location: str) -> list[Json]:
        """The subscription's in a region, as `GET …/locations/{location}/usages` lists them."""
        counts = {
            "ManagedEnvironmentCount": len(self._environments(location)),
            "SubscriptionNCA100Gpus": sum(self._gpus(location).values()),
            **{name: self._capacity.used_nodes(gpu_pool(name, location)) for name in ENVIRONMENTS_WITH},
            **{count: len(self._with(quota, location)) for quota, count in ENVIRONMENTS_WITH.items()},
        }
        return [_usage(name, counts.get(name, 0), self.limit(name, location)) for name in LIMITS]

    def environment_usages(self, cores: Mapping[str, float]) -> list[Json]:
        """Of one environment, given the cores in use by category of profile."""
        used = {CORES_OF[category]: count for category, count in cores.items() if category in CORES_OF}
        return [_usage(name, used.get(name, 0), limit) for name, limit in ENVIRONMENT_LIMITS.items()]

    def check_environment(self, key: str, profiles: list[Profile], location: str) -> None:
        """Refuse an environment that takes a region over its quota. Raises ArmError."""
        others = self._environments(location) - {key}
        most = self.limit("ManagedEnvironmentCount", location)
        if len(others) + 1 > most or self._faults.take(Fault.REGIONAL_QUOTA):
            raise ArmError(
                400,
                "MaxNumberOfRegionalEnvironmentsInSubExceeded",
                f"The subscription cannot have more than {most} Container App Environments in"
                f" {display_location(location)}.",
            )
        held = sum(gpus for other, gpus in self._gpus(location).items() if other != key)
        wanted = sum(profile.most_gpus for profile in profiles)
        if wanted and held + wanted > self.limit("SubscriptionNCA100Gpus", location):
            raise self._exceeded("SubscriptionNCA100Gpus", location)
        for quota, count in ENVIRONMENTS_WITH.items():
            has = any(profile.type.serverless and profile.type.gpu_quota == quota for profile in profiles)
            if has and len(self._with(quota, location) - {key}) + 1 > self.limit(count, location):
                raise self._exceeded(count, location)
        if self._faults.take(Fault.QUOTA):
            raise self._exceeded("SubscriptionNCA100Gpus", location)

    def check_app(self, template: Json, profile: Profile, location: str) -> None:
        """Refuse an app whose least number of replicas has more GPUs than the region gives."""
        if self._faults.take(Fault.QUOTA):
            raise self._exceeded(profile.type.gpu_quota or "ManagedEnvironmentConsumptionCores", location)
        if not profile.type.gpus or not profile.type.serverless:
            return
        name = profile.type.gpu_quota
        if read_scale(template["scale"]).minimum * profile.type.gpus > self.limit(name, location):
            raise self._exceeded(name, location)

    def _exceeded(self, name: str, location: str) -> ArmError:
        return ArmError(
            400,
            "MaxRegionalQuotaExceeded",
            f"The subscription cannot have more than {self.limit(name, location)} {name} in region"
            f" {display_location(location)}.",
        )

    def _environments(self, location: str) -> set[str]:
        return {key for key, body in self._records.environments() if _same(body.get("location"), location)}

    def _with(self, quota: str, location: str) -> set[str]:
        """The environments of the region that have a serverless profile whose GPUs count as that quota."""
        return {
            key
            for key, body in self._records.environments()
            if _same(body.get("location"), location)
            for profile in read_profiles(body.get("workloadProfiles") or [], location)
            if profile.type.serverless and profile.type.gpu_quota == quota
        }

    def _gpus(self, location: str) -> dict[str, int]:
        """The dedicated GPUs that each environment of the region may come to hold."""
        return {
            key: sum(item.most_gpus for item in read_profiles(body.get("workloadProfiles") or [], location))
            for key, body in self._records.environments()
            if _same(body.get("location"), location)
        }


def gpu_pool(quota: str, location: str) -> str:
    """The name of the pool that all serverless GPUs of one kind in a region come from."""
    return f"{quota}@{normal_location(location) or location}"


def cores_in_use(
    records: Records, environment: Json, key: str, replicas: Callable[[AppRecord, RevisionRecord], int]
) -> dict[str, float]:
    """The cores of the running replicas in an environment, by category of their profiles."""
    cores: dict[str, float] = {}
    for app in records.apps():
        if app.environment.lower() != key:
            continue
        stored = environment.get("workloadProfiles") or []
        profile = find_profile(stored, app.profile, environment.get("location") or "")
        category = profile.type.category if profile else app.profile
        for revision in records.revisions(app):
            used = replicas(app, revision) * read_template(revision.template).cores
            cores[category] = cores.get(category, 0.0) + used
    return cores


def _same(one: str | None, other: str) -> bool:
    return (normal_location(one or "") or one) == (normal_location(other) or other)


def _usage(name: str, current: float, limit: float) -> Json:
    words = re.sub(
        r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Z])", " ", name
    )
    return {
        "usage": current,
        "currentValue": current,
        "limit": limit,
        "name": {"value": name, "localizedValue": words},
    }
