"""Workload profiles and quotas: what is refused, what waits for room, what is counted."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.conformance import evidence
from tests.emulator.apps.cloud import Cloud, until

from containerapps_emulator.apps.capacity.pools import Capacity, Pool
from containerapps_emulator.apps.capacity.profiles import TYPES, offered_in, read_profiles
from containerapps_emulator.arm.locations import LOCATIONS
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.state import Json

AZURE = evidence.folder()
RECORDED = AZURE / "recordings/azure_cli_containerapp/containerapp_env_workload_profiles_list_supported.json"
REGIONS = AZURE / "regions" / "region-features.json"
NOT_DESCRIBED = {"Flex", "Consumption-GPU-NV6ads-A10"}  # the one without a size, the other in a test region


def dedicated(maximum: int, kind: str = "NC24-A100", name: str = "GPU") -> Json:
    return {"name": name, "workloadProfileType": kind, "minimumCount": 0, "maximumCount": maximum}


def serverless(kind: str = "Consumption-GPU-NC24-A100", name: str = "GPU") -> Json:
    return {"name": name, "workloadProfileType": kind}


@pytest.mark.skipif(not RECORDED.exists(), reason="the recordings of the real service are not here")
def test_the_types_are_as_large_as_recorded() -> None:
    compared = 0
    for exchange in json.loads(RECORDED.read_text())["exchanges"]:
        for item in exchange["response"]["body"]["value"]:
            kind, recorded = TYPES[item["name"]], item["properties"]
            size = {"cores": kind.cores, "memoryGiB": kind.memory_gib, "gpus": kind.gpus}
            assert size == {"gpus": 0} | {name: recorded[name] for name in recorded.keys() & size.keys()}
            assert (kind.display_name, kind.category) == (recorded["displayName"], recorded["category"])
            assert kind.is_offered(item["location"])
            compared += 1
    assert compared == 21


@pytest.mark.skipif(not REGIONS.exists(), reason="Microsoft's list of regions is not here")
def test_the_regions_offer_what_microsoft_lists() -> None:
    compared = 0
    for region in json.loads(REGIONS.read_text())["regions"]:
        if region["slug"] in LOCATIONS:
            listed = {name[3:] for name, there in region["features"].items() if there and "wp:" in name}
            offered = {kind.name for kind in offered_in(region["slug"])}
            assert offered == listed - NOT_DESCRIBED, region["slug"]
            compared += 1
    assert compared > 30


@pytest.mark.parametrize(
    ("profiles", "location", "message"),
    [
        ([dedicated(1, "NC24-H100")], "westus3", "type 'NC24-H100' is not supported in region 'West US 3'"),
        ([dedicated(1)], "eastus", "'East US'. It is offered in northeurope, uksouth, westus3."),
        ([dedicated(0)], "westus3", "they are 0 and 0"),
        ([{**dedicated(1), "maximumCount": None}], "westus3", "they are 0 and None"),
        ([{**serverless(), "maximumCount": 1}], "westus3", "has no minimumCount and maximumCount"),
        ([serverless(), serverless()], "westus3", "'gpu' is there 2 times"),
        ([dedicated(1, name="")], "westus3", "has no name"),
    ],
)
def test_refused_profiles(profiles: list[Json], location: str, message: str) -> None:
    with pytest.raises(ArmError, match=re.escape(message)):
        read_profiles(profiles, location)


async def put_environment(cloud: Cloud, *profiles: Json, name: str = "env") -> Json:
    body = {"location": "westus3", "properties": {"workloadProfiles": list(profiles)}}
    return await cloud.put(environment(cloud, name), body)


def environment(cloud: Cloud, name: str = "env") -> ResourceId:
    top = cloud.environment
    return ResourceId(top.subscription, top.group, top.type, (name,))


async def test_gpus_over_the_quota_are_refused_in_azures_words(cloud: Cloud) -> None:
    await put_environment(cloud, dedicated(1))
    words = "cannot have more than 2 SubscriptionNCA100Gpus in region West US 3"
    with pytest.raises(ArmError, match=words) as refused:
        await put_environment(cloud, dedicated(2), name="second")
    assert (refused.value.status, refused.value.code) == (400, "MaxRegionalQuotaExceeded")
    await put_environment(cloud, dedicated(2))  # its own are not counted twice
    await put_environment(cloud, name="second")


async def test_more_environments_than_the_quota_are_refused(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(quotas={"ManagedEnvironmentCount": 1})
    await cloud.provision()
    with pytest.raises(ArmError, match="cannot have more than 1 Container App Environments in West US 3"):
        await put_environment(cloud, name="second")


async def deploy(cloud: Cloud, profile: str, cpu: float = 24, memory: str = "220Gi", **more: Any) -> Json:
    return await cloud.deploy(profile=profile, resources={"cpu": cpu, "memory": memory}, **more)


async def test_an_app_must_name_a_profile_and_fit_into_it(cloud: Cloud) -> None:
    await put_environment(cloud, dedicated(1))
    with pytest.raises(ArmError, match="Workload profile 'T4' was not found in managed environment 'env'"):
        await deploy(cloud, "T4")
    with pytest.raises(ArmError, match="takes at most 24 cores and 220Gi"):
        await deploy(cloud, "GPU", cpu=25)
    with pytest.raises(ArmError, match=r"\(CPU: 1, memory: 4Gi\) is invalid"):
        await deploy(cloud, "Consumption", cpu=1, memory="4Gi")


async def test_serverless_gpus_over_the_quota_are_refused(cloud: Cloud) -> None:
    await put_environment(cloud, serverless())
    with pytest.raises(ArmError, match="more than 2 SubscriptionConsumptionNCA100Gpus in region West US 3"):
        await deploy(cloud, "GPU", replicas=3)


async def test_a_rollout_without_room_waits_until_there_is_some(cloud: Cloud) -> None:
    await put_environment(cloud, dedicated(1))
    await deploy(cloud, "GPU", env={"VERSION": "1"})
    await cloud.until_ready()
    first = cloud.latest
    await deploy(cloud, "GPU", env={"VERSION": "2"})
    await until(lambda: "AssigningReplicaFailed" in cloud.events())
    waiting = cloud.revision(cloud.latest)
    assert waiting["runningState"] == "Activating"
    assert "all 1 nodes of workload profile 'GPU' are in use" in waiting["provisioningError"]
    assert cloud.properties["latestReadyRevisionName"] == first
    assert (await cloud.get())["version"] == "1"
    await put_environment(cloud, dedicated(2))
    await cloud.until_ready()
    assert (await cloud.get())["version"] == "2"


async def test_a_restart_needs_no_second_node(cloud: Cloud) -> None:
    await put_environment(cloud, dedicated(1))
    await deploy(cloud, "GPU")
    await cloud.until_ready()
    (before,) = cloud.replicas(cloud.latest)
    await cloud.ask_revision(cloud.latest, "restart")
    await until(lambda: cloud.revision(cloud.latest)["healthState"] == "Healthy")
    (after,) = cloud.replicas(cloud.latest)
    assert after["name"] != before["name"]


async def test_counts_may_be_texts_and_nodes_no_longer_kept_ready_stay_for_a_while(cloud: Cloud) -> None:
    states = cloud.virtual("managedEnvironments/workloadProfileStates")

    def count() -> int:
        return int(states.list(cloud.environment)[0]["properties"]["currentCount"])

    shown = await put_environment(cloud, {**dedicated(0, "D4"), "minimumCount": "2", "maximumCount": "3"})
    (profile,) = shown["properties"]["workloadProfiles"]
    assert (profile["minimumCount"], profile["maximumCount"], profile["enableFips"]) == (2, 3, False)
    assert count() == 2
    await put_environment(cloud, {**dedicated(3, "D4"), "minimumCount": 1})
    assert count() == 2
    await until(lambda: count() == 1)
    with pytest.raises(ArmError, match="minimumCount"):
        await put_environment(cloud, {**dedicated(3, "D4"), "minimumCount": "many"})


async def test_usages_count_what_runs(cloud: Cloud) -> None:
    await put_environment(cloud, dedicated(1), serverless("Consumption-GPU-NC8as-T4", "T4"))
    assert usages(cloud.region_usages("westus3")) == {
        "ManagedEnvironmentCount": (1, 50),
        "SubscriptionNCA100Gpus": (1, 2),
        "SessionPools": (0, 50),
        "SubscriptionConsumptionNCA100Gpus": (0, 2),
        "SubscriptionConsumptionT4Gpus": (0, 8),
        "ConsumptionNCA100GpusEnvCount": (0, 1),
        "ConsumptionT4GpusEnvCount": (1, 2),
    }
    assert usages(cloud.region_usages("eastus"))["SubscriptionNCA100Gpus"] == (0, 0)
    states = cloud.virtual("managedEnvironments/workloadProfileStates")
    counts = {item["name"]: item["properties"].get("currentCount") for item in states.list(cloud.environment)}
    assert counts == {"GPU": 0, "T4": None}
    await deploy(cloud, "T4", cpu=8, memory="56Gi")
    await cloud.until_ready()
    assert usages(cloud.region_usages("westus3"))["SubscriptionConsumptionT4Gpus"] == (1, 8)
    await deploy(cloud, "GPU")
    await until(lambda: states.list(cloud.environment)[0]["properties"]["currentCount"] == 1)
    await deploy(cloud, "Consumption", cpu=0.5, memory="1Gi")
    await cloud.until_ready()
    listed = usages(cloud.virtual("managedEnvironments/usages").list(cloud.environment))
    assert listed["ManagedEnvironmentConsumptionCores"] == (0.5, 500)


def usages(listed: list[Json]) -> dict[str, tuple[float, float]]:
    assert all(item["usage"] == item["currentValue"] for item in listed)
    return {item["name"]["value"]: (item["currentValue"], item["limit"]) for item in listed}


async def test_places_are_shared_given_back_and_taken_in_turn() -> None:
    capacity, waits = Capacity(), list[str]()
    half = Pool("p", 1, 0.5, "full")
    await capacity.take("a", lambda: half, waits.append)
    await capacity.take("b", lambda: half, waits.append)
    assert capacity.used_nodes("p") == 1
    third = asyncio.create_task(capacity.take("c", lambda: half, waits.append))
    await asyncio.sleep(0)
    assert (waits, third.done()) == (["full"], False)
    capacity.give_back("unknown")
    capacity.give_back("a")
    await third
    await capacity.take("d", lambda: None, waits.append)
    assert waits == ["full"]
