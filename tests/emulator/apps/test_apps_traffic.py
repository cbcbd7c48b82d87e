"""Which revision answers: weights to the request, labels and revisions by host, ports that stay."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.emulator.apps.cloud import DEADLINE_SECONDS, Cloud, until

from containerapps_emulator.apps.documents.traffic_defaults import traffic_with_defaults
from containerapps_emulator.apps.ingress.traffic import WeightedTurns, asked_for, weights_of
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

MULTIPLE = {"activeRevisionsMode": "Multiple"}


def test_turns_are_exact_and_well_mixed() -> None:
    turns = WeightedTurns()
    weights = {"a": 70, "b": 25, "c": 5}
    order = [turns.next(weights) for _ in range(200)]
    assert Counter(order) == {"a": 140, "b": 50, "c": 10}
    assert Counter(order[:20]) == {"a": 14, "b": 5, "c": 1}  # not first all of one, then all of the other
    assert turns.next({"a": 0}) is None


def test_turns_follow_changed_weights_at_once() -> None:
    turns = WeightedTurns()
    assert {turns.next({"a": 100, "b": 0}) for _ in range(30)} == {"a"}
    assert Counter(turns.next({"a": 50, "b": 50}) for _ in range(100)) == {"a": 50, "b": 50}
    assert {turns.next({"b": 100}) for _ in range(10)} == {"b"}


def test_the_latest_revision_has_the_weight_of_its_entry() -> None:
    traffic: list[Json] = [{"latestRevision": True, "weight": 20}, {"revisionName": "a--1", "weight": 80}]
    assert weights_of(traffic, "a--2") == {"a--2": 20, "a--1": 80}
    assert weights_of(traffic, "a--1") == {"a--1": 100}


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("127.0.0.1:8080", None),
        ("web.local", None),
        ("web---blue.local:80", "web--1"),
        ("WEB---BLUE", "web--1"),
        ("web---new", "web--2"),
        ("web---red.local", ""),
        ("web--1.local", "web--1"),
        ("other--1.local", None),
    ],
)
def test_hosts_name_labels_and_revisions(host: str, asked: str | None) -> None:
    traffic = [
        {"revisionName": "web--1", "weight": 100, "label": "blue"},
        {"latestRevision": True, "weight": 0, "label": "new"},
    ]
    assert asked_for(host, "web", traffic, "web--2") == asked


def test_weights_are_read_as_the_azure_cli_writes_them() -> None:
    sent = [{"weight": "40", "latestRevision": True}, {"revisionName": "a--1", "weight": 60, "label": None}]
    assert traffic_with_defaults(sent) == [
        {"weight": 40, "latestRevision": True},
        {"revisionName": "a--1", "weight": 60},
    ]


@pytest.mark.parametrize(
    ("traffic", "message"),
    [
        ([{"latestRevision": True, "weight": 150}], "Weight '150'"),
        ([{"latestRevision": True, "weight": -1}], "Weight '-1'"),
        ([{"latestRevision": True, "weight": 99}], "add up to 99"),
        ([{"weight": 100}], "names a revisionName or the latestRevision"),
        ([{"latestRevision": True, "weight": 100, "label": "A b"}], "Label 'A b' is invalid"),
        (
            [
                {"latestRevision": True, "weight": 100, "label": "x"},
                {"revisionName": "a", "weight": 0, "label": "x"},
            ],
            "Label 'x' is given to 2 revisions",
        ),
    ],
)
def test_refusals_name_what_is_wrong(traffic: list[Json], message: str) -> None:
    with pytest.raises(ArmError, match=re.escape(message)):
        traffic_with_defaults(traffic)


async def deploy_two(cloud: Cloud, *traffic: Json) -> None:
    """Revisions web--a and web--b, both ready."""
    await cloud.deploy(configuration=MULTIPLE, env={"VERSION": "a"}, suffix="a")
    await cloud.until_ready()
    await deploy_b(cloud, *traffic)
    await cloud.until_ready()


async def deploy_b(cloud: Cloud, *traffic: Json) -> None:
    ingress = {"external": True, "targetPort": 7860, "traffic": list(traffic)}
    await cloud.deploy(configuration={**MULTIPLE, "ingress": ingress}, env={"VERSION": "b"}, suffix="b")


async def answers(url: str, count: int, **headers: str) -> Counter[Any]:
    async with httpx.AsyncClient(headers=headers, timeout=DEADLINE_SECONDS) as client:
        return Counter([(await client.get(url)).json()["version"] for _ in range(count)])


async def test_a_canary_gets_exactly_its_share_then_all(cloud: Cloud) -> None:
    await deploy_two(
        cloud, {"revisionName": "web--a", "weight": 90}, {"revisionName": "web--b", "weight": 10}
    )
    assert await answers(cloud.url, 100) == {"a": 90, "b": 10}
    weights = {item["name"]: item["properties"]["trafficWeight"] for item in cloud.revisions()}
    assert weights == {"web--a": 90, "web--b": 10}
    await deploy_b(cloud, {"latestRevision": True, "weight": 100})
    assert await answers(cloud.url, 10) == {"b": 10}
    assert [item["properties"]["active"] for item in cloud.revisions()] == [True, True]


async def test_a_label_reaches_its_revision_without_traffic(cloud: Cloud) -> None:
    await deploy_two(
        cloud,
        {"revisionName": "web--a", "weight": 100},
        {"revisionName": "web--b", "weight": 0, "label": "next"},
    )
    assert await answers(cloud.url, 5) == {"a": 5}
    assert await answers(cloud.url, 3, host="web---next.example.org") == {"b": 3}
    assert await answers(cloud.url, 3, host="web--b.example.org") == {"b": 3}
    assert await answers(f"http://{cloud.revision('web--b')['fqdn']}", 3) == {"b": 3}
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        unknown = await client.get(cloud.url, headers={"host": "web---other.example.org"})
    assert (unknown.status_code, unknown.text[:9]) == (404, "Error 404")


async def test_a_revision_keeps_its_port_when_it_is_activated_again(cloud: Cloud) -> None:
    await deploy_two(cloud, {"revisionName": "web--a", "weight": 0}, {"latestRevision": True, "weight": 100})
    before = cloud.revision("web--a")["fqdn"]
    await cloud.ask_revision("web--a", "deactivate")
    await until(lambda: cloud.revision("web--a")["runningState"] == "Stopped")
    await cloud.ask_revision("web--a", "activate")
    await until(lambda: cloud.revision("web--a")["runningState"] == "Running")
    assert cloud.revision("web--a")["fqdn"] == before
    assert await answers(f"http://{before}", 2) == {"a": 2}


async def test_traffic_must_name_what_is_there_and_an_inactive_revision_answers_nothing(cloud: Cloud) -> None:
    await deploy_two(cloud, {"latestRevision": True, "weight": 100})
    with pytest.raises(ArmError, match="'web--c', which was not found"):
        await deploy_b(cloud, {"revisionName": "web--c", "weight": 100})
    await cloud.ask_revision("web--a", "deactivate")
    await deploy_b(cloud, {"revisionName": "web--a", "weight": 100})  # Azure takes it, and has it answer 503
    assert cloud.revision("web--a")["trafficWeight"] == 100
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        assert (await client.get(cloud.url)).status_code == 503


async def test_back_to_single_only_the_latest_stays(cloud: Cloud) -> None:
    await deploy_two(cloud, {"revisionName": "web--a", "weight": 100})
    await cloud.deploy(env={"VERSION": "b"}, suffix="b")
    await until(lambda: cloud.revision("web--a")["runningState"] == "Stopped")
    assert await answers(cloud.url, 3) == {"b": 3}


async def test_inactive_revisions_are_forgotten_beyond_their_number(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud()
    await cloud.provision()
    for version in "abcd":
        await cloud.deploy(
            configuration={"maxInactiveRevisions": 1}, env={"VERSION": version}, suffix=version
        )
        await cloud.until_ready()
    assert [item["name"] for item in cloud.revisions()] == ["web--c", "web--d"]
