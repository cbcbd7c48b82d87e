"""What is in use and what there could be: usages of regions and environments, workload profiles."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from containerapps_emulator.apps.capacity.pools import Capacity
from containerapps_emulator.apps.capacity.profiles import Profile, ProfileType, offered_in, read_profiles
from containerapps_emulator.apps.capacity.quotas import Quotas, cores_in_use
from containerapps_emulator.apps.clock import Clock
from containerapps_emulator.apps.documents.environment import shown_profile
from containerapps_emulator.apps.documents.records import Records
from containerapps_emulator.apps.documents.wire import unknown_action
from containerapps_emulator.apps.fleet import Fleet
from containerapps_emulator.arm.http import AnyCaseRoute
from containerapps_emulator.arm.locations import normal_location
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.subscription import LOCAL_SUBSCRIPTION
from containerapps_emulator.state import Json

LOCATION = "/subscriptions/{subscription}/providers/Microsoft.App/locations/{location}"
NODE_SECONDS = 300  # a node that is no longer kept ready stays that long
PROFILE_TYPES = "availableManagedEnvironmentsWorkloadProfileTypes"


class LocationUsages:
    """What a subscription uses in a region and which profiles the region offers, over HTTP."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self.routes = (
            AnyCaseRoute(f"{LOCATION}/usages", self.usages, methods=["GET"]),
            AnyCaseRoute(f"{LOCATION}/{PROFILE_TYPES}", self.profile_types, methods=["GET"]),
        )

    async def usages(self, request: Request) -> Response:
        return JSONResponse({"value": self._quotas.usages(_location(request))})

    async def profile_types(self, request: Request) -> Response:
        location = _location(request)
        return JSONResponse({"value": [_profile_type(item, location) for item in offered_in(location)]})


class EnvironmentUsages:
    type = "Microsoft.App/managedEnvironments/usages"

    def __init__(self, records: Records, quotas: Quotas, fleet: Fleet) -> None:
        self._records = records
        self._quotas = quotas
        self._fleet = fleet

    def get(self, resource_id: ResourceId) -> Json | None:
        return None

    def list(self, parent: ResourceId) -> list[Json]:
        environment = self._records.environment(parent.key) or {}
        cores = cores_in_use(self._records, environment, parent.key, self._fleet.replicas)
        return self._quotas.environment_usages(cores)

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | None:
        raise unknown_action(self.type, name)


class WorkloadProfileStates:
    """The profiles of an environment, and how many nodes the dedicated ones have."""

    type = "Microsoft.App/managedEnvironments/workloadProfileStates"

    def __init__(self, records: Records, capacity: Capacity, clock: Clock) -> None:
        self._records = records
        self._capacity = capacity
        self._clock = clock
        self._kept: dict[str, tuple[int, float]] = {}  # how many nodes a profile kept ready, and when

    def get(self, resource_id: ResourceId) -> Json | None:
        return None

    def list(self, parent: ResourceId) -> list[Json]:
        body = self._records.environment(parent.key) or {}
        stored = body.get("workloadProfiles") or []
        profiles = read_profiles(stored, str(body.get("location") or ""))
        return [
            {
                "id": str(parent.child("workloadProfileStates", profile.name)),
                "name": profile.name,
                "type": profile.type.name,
                "properties": {**self._nodes(parent, profile), **shown_profile(document)},
            }
            for profile, document in zip(profiles, stored, strict=True)
        ]

    def _nodes(self, environment: ResourceId, profile: Profile) -> Json:
        if profile.type.serverless:
            return {}
        key, now = f"{environment.key}/{profile.name}".lower(), self._clock.monotonic()
        kept, seen_at = self._kept.get(key, (0, now))
        if profile.minimum >= kept or now - seen_at >= NODE_SECONDS:
            kept = profile.minimum
            self._kept[key] = (kept, now)
        return {"currentCount": max(kept, self._capacity.used_nodes(key))}

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | None:
        raise unknown_action(self.type, name)


def _location(request: Request) -> str:
    LOCAL_SUBSCRIPTION.require(request.path_params["subscription"])
    name = str(request.path_params["location"])
    location = normal_location(name)
    if location is None:
        raise ArmError(400, "LocationNotFound", f"There is no location '{name}'.")
    return location


def _profile_type(kind: ProfileType, location: str) -> Json:
    path = f"/subscriptions/{LOCAL_SUBSCRIPTION.id}/providers/Microsoft.App/{PROFILE_TYPES}/{kind.name}"
    return {
        "location": location,
        "properties": {
            "displayName": kind.display_name,
            "category": kind.category,
            "cores": kind.cores,
            "memoryGiB": kind.memory_gib,
            **({"gpus": kind.gpus} if kind.gpus else {}),
        },
        "id": path,
        "name": kind.name,
        "type": f"Microsoft.App/{PROFILE_TYPES}",
    }
