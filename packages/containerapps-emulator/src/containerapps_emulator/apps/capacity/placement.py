"""Which pool a replica's place comes from, by the workload profile of its app."""

from __future__ import annotations

from typing import Final, Protocol

from containerapps_emulator.apps.capacity.pools import Pool
from containerapps_emulator.apps.capacity.profiles import CONSUMPTION, Profile, find_profile
from containerapps_emulator.apps.capacity.quotas import Quotas, gpu_pool
from containerapps_emulator.apps.documents.records import Records
from containerapps_emulator.apps.documents.template import RevisionTemplate, read_template
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

CORES_STEP: Final = 0.25
GIB_PER_CORE: Final = 2


class Placed(Protocol):
    """An app or a job: what runs in a workload profile of an environment."""

    @property
    def environment(self) -> str: ...

    @property
    def profile(self) -> str: ...


class Placement:
    def __init__(self, records: Records, quotas: Quotas) -> None:
        self._records = records
        self.quotas = quotas

    def profile(self, environment: str, name: str) -> tuple[Profile | None, str]:
        """The profile of that name and the environment's location; None where there is no such profile."""
        body = self._records.environment(environment) or {}
        location = str(body.get("location") or "")
        return find_profile(body.get("workloadProfiles") or [], name, location), location

    def check(self, environment: str, name: str, template: Json, counted: Json | None = None) -> None:
        """Refuse a template that its profile or a quota cannot hold; `counted` is what the quota counts.

        Raises ArmError.
        """
        profile, location = self.profile(environment, name)
        if profile is None:
            raise ArmError(
                400,
                "WorkloadProfileNotFound",
                f"Workload profile '{name}' was not found in managed environment"
                f" '{environment.rpartition('/')[2]}'.",
            )
        check_size(read_template(template), profile)
        self.quotas.check_app(counted or template, profile, location)

    def has_gpu(self, app: Placed) -> bool:
        profile, _ = self.profile(app.environment, app.profile)
        return profile is not None and profile.type.gpus > 0

    def pool(self, app: Placed, template: RevisionTemplate) -> Pool | None:
        """None where nothing bounds the number of replicas: on CPU, serverless."""
        profile, location = self.profile(app.environment, app.profile)
        if profile is None or (profile.type.serverless and not profile.type.gpus):
            return None
        if profile.type.serverless:
            quota = profile.type.gpu_quota
            limit = self.quotas.limit(quota, location)
            return Pool(gpu_pool(quota, location), limit, 1, f"all {limit} {quota} of the region are in use")
        share = max(template.cores / profile.type.cores, template.memory_gib / profile.type.memory_gib)
        return Pool(
            f"{app.environment}/{profile.name}".lower(),
            profile.maximum,
            min(share, 1),
            f"all {profile.maximum} nodes of workload profile '{profile.name}' are in use",
        )


def check_size(template: RevisionTemplate, profile: Profile) -> None:
    """Refuse a replica that no node of its profile could hold. Raises ArmError."""
    cores, gib, kind = template.cores, template.memory_gib, profile.type
    fits = cores <= kind.cores and gib <= kind.memory_gib
    if kind.name == CONSUMPTION:
        fits = fits and cores % CORES_STEP == 0 and gib == cores * GIB_PER_CORE
    if fits:
        return
    rule = f"at most {kind.cores} cores and {kind.memory_gib}Gi"
    if kind.name == CONSUMPTION:
        rule = f"steps of {CORES_STEP} cores up to {kind.cores}, with {GIB_PER_CORE}Gi for each core"
    raise ArmError(
        400,
        "ContainerAppInvalidResourceTotal",
        f"The total requested CPU and memory resources for this application (CPU: {cores:g}, memory:"
        f" {gib:g}Gi) is invalid. Workload profile '{profile.name}' of type '{kind.name}' takes {rule}.",
    )
