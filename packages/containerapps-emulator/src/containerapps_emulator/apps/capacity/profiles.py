"""The workload profile types: how large a node is, how many GPUs it has, and which regions offer it.

Sizes are those that the service lists; regions those of Microsoft's list of April 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from containerapps_emulator.apps.documents.wire import display_location
from containerapps_emulator.arm.locations import normal_location
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

NOT_SUPPORTED: Final = "WorkloadProfileTypeNotSupported"
INVALID: Final = "WorkloadProfileInvalid"
CONSUMPTION: Final = "Consumption"
EVERYWHERE: Final = ""
WITHOUT_APPS: Final = frozenset(("centraluseuap", "mexicocentral"))  # regions without Container Apps

DEDICATED_A100: Final = "northeurope uksouth westus3"
SERVERLESS_A100: Final = (
    "australiaeast brazilsouth canadacentral eastus italynorth northcentralusstage swedencentral uksouth"
    " westus westus3"
)
SERVERLESS_T4: Final = (
    f"{SERVERLESS_A100} centralindia francecentral japaneast northcentralus southcentralus southeastasia"
    " southindia westeurope westus2"
)
COMPUTE_OPTIMIZED: Final = "uaenorth"
CONFIDENTIAL: Final = "germanywestcentral koreacentral uaenorth"
CONFIDENTIAL_MEMORY: Final = "germanywestcentral"


@dataclass(frozen=True, slots=True)
class ProfileType:
    name: str
    category: str
    cores: int
    memory_gib: int
    regions: str = EVERYWHERE  # separated by blanks
    gpus: int = 0
    gpu_quota: str = ""  # the usage that its GPUs count as

    @property
    def serverless(self) -> bool:
        return self.name.startswith(CONSUMPTION)

    @property
    def display_name(self) -> str:
        return self.name if self.serverless else f"Dedicated-{self.name}"

    def is_offered(self, location: str) -> bool:
        region = normal_location(location) or ""
        if self.regions == EVERYWHERE:
            return region not in WITHOUT_APPS
        return region in self.regions.split()


def _family(letters: str, category: str, cores: tuple[int, ...], gib: int, regions: str) -> list[ProfileType]:
    return [ProfileType(f"{letters}{count}", category, count, gib * count, regions) for count in cores]


CONFIDENTIAL_CORES: Final = (4, 8, 16, 32, 48, 64, 96)
TYPES: Final = {
    item.name: item
    for item in (
        *_family("D", "GeneralPurpose", (4, 8, 16, 32), 4, EVERYWHERE),
        *_family("E", "MemoryOptimized", (4, 8, 16, 32), 8, EVERYWHERE),
        ProfileType(CONSUMPTION, CONSUMPTION, 4, 8),
        *_family("F", "ComputeOptimized", (4, 8, 16), 2, COMPUTE_OPTIMIZED),
        *_family("DC", "ConfidentialCompute", CONFIDENTIAL_CORES, 4, CONFIDENTIAL),
        *_family("EC", "ConfidentialCompute", (*CONFIDENTIAL_CORES, 20), 8, CONFIDENTIAL_MEMORY),
        ProfileType("NC24-A100", "GPU-NC-A100", 24, 220, DEDICATED_A100, 1, "SubscriptionNCA100Gpus"),
        ProfileType("NC48-A100", "GPU-NC-A100", 48, 440, DEDICATED_A100, 2, "SubscriptionNCA100Gpus"),
        ProfileType("NC96-A100", "GPU-NC-A100", 96, 880, DEDICATED_A100, 4, "SubscriptionNCA100Gpus"),
        ProfileType(
            "Consumption-GPU-NC24-A100", "Consumption-GPU-NC24-A100", 24, 220, SERVERLESS_A100, 1,
            "SubscriptionConsumptionNCA100Gpus",
        ),
        ProfileType(
            "Consumption-GPU-NC8as-T4", "Consumption-GPU-NC8as-T4", 8, 56, SERVERLESS_T4, 1,
            "SubscriptionConsumptionT4Gpus",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile of an environment."""

    name: str
    type: ProfileType
    minimum: int
    maximum: int

    @property
    def most_gpus(self) -> int:
        """Those that a dedicated profile may come to hold: Azure counts them when it is made."""
        return 0 if self.type.serverless else self.maximum * self.type.gpus


def offered_in(location: str) -> list[ProfileType]:
    return [item for item in TYPES.values() if item.is_offered(location)]


def read_profiles(stored: list[Json], location: str) -> list[Profile]:
    """The profiles of an environment there. Raises ArmError for what the region does not offer."""
    profiles = [_read(item, location) for item in stored]
    names = [profile.name.lower() for profile in profiles]
    for name in names:
        if names.count(name) > 1:
            raise ArmError(400, INVALID, f"Workload profile '{name}' is there {names.count(name)} times.")
    return profiles


def find_profile(stored: list[Json], name: str, location: str) -> Profile | None:
    """A profile by name; every environment has `Consumption`, whether or not it is in the list."""
    profiles = read_profiles(stored, location)
    found = (profile for profile in profiles if profile.name.lower() == name.lower())
    fallback = Profile(CONSUMPTION, TYPES[CONSUMPTION], 0, 0) if name == CONSUMPTION else None
    return next(found, fallback)


def _read(item: Json, location: str) -> Profile:
    name = str(item.get("name") or "")
    kind = next((known for known in TYPES.values() if known.name.lower() == _type_of(item).lower()), None)
    if kind is None or not kind.is_offered(location):
        raise _not_offered(_type_of(item), kind, location)
    if not name:
        raise ArmError(400, INVALID, f"A workload profile of type '{kind.name}' has no name.")
    least, most = item.get("minimumCount"), item.get("maximumCount")
    if kind.serverless:
        if least is not None or most is not None:
            message = f"Workload profile '{name}' of type '{kind.name}' has no minimumCount and maximumCount."
            raise ArmError(400, INVALID, message)
        return Profile(name, kind, 0, 0)
    if not isinstance(least, int) or not isinstance(most, int) or not 0 <= least <= most or most == 0:
        message = (
            f"Workload profile '{name}' needs 0 <= minimumCount <= maximumCount and a maximumCount of at"
            f" least 1; they are {least} and {most}."
        )
        raise ArmError(400, INVALID, message)
    return Profile(name, kind, least, most)


def _not_offered(name: str, kind: ProfileType | None, location: str) -> ArmError:
    elsewhere = f" It is offered in {', '.join(kind.regions.split())}." if kind else ""
    supported = ", ".join(offered.name for offered in offered_in(location))
    return ArmError(
        400,
        NOT_SUPPORTED,
        f"Workload profile type '{name}' is not supported in region '{display_location(location)}'."
        f"{elsewhere} Supported are: {supported}.",
    )


def _type_of(item: Json) -> str:
    return str(item.get("workloadProfileType") or "")
