"""activeRevisionsMode Labels: a label leads to a revision, a new one takes it over, one without ends."""

from __future__ import annotations

from typing import Any

from tests.emulator.apps.cloud import Cloud, until

from containerapps_emulator.state import Json


def labels(target: str, *traffic: Json) -> Json:
    ingress: Json = {"external": True, "targetPort": 7860, "traffic": list(traffic) or None}
    return {"activeRevisionsMode": "labels", "targetLabel": target, "ingress": ingress}


def traffic(cloud: Cloud) -> Any:
    return cloud.properties["configuration"]["ingress"]["traffic"]


async def active(cloud: Cloud) -> dict[str, bool]:
    return {item["name"]: item["properties"]["active"] for item in cloud.revisions()}


async def test_the_first_revision_gets_its_label_and_all_requests_once_it_is_ready(cloud: Cloud) -> None:
    await cloud.deploy(configuration=labels("blue"), suffix="a", env={"VERSION": "a"})
    await cloud.until_ready()
    assert cloud.properties["configuration"]["activeRevisionsMode"] == "Labels"
    assert traffic(cloud) == [{"revisionName": "web--a", "weight": 100, "label": "blue"}]
    assert (await cloud.get())["version"] == "a"


async def test_another_label_begins_without_weight_and_the_same_label_keeps_its_own(cloud: Cloud) -> None:
    await cloud.deploy(configuration=labels("blue"), suffix="a", env={"VERSION": "a"})
    await cloud.until_ready()
    await cloud.deploy(configuration=labels("green"), suffix="b", env={"VERSION": "b"})
    await cloud.until_ready()
    blue = {"revisionName": "web--a", "weight": 100, "label": "blue"}
    assert traffic(cloud) == [blue, {"revisionName": "web--b", "weight": 0, "label": "green"}]
    await cloud.deploy(configuration=labels("blue"), suffix="c", env={"VERSION": "c"})
    await cloud.until_ready()
    assert traffic(cloud)[0] == {"revisionName": "web--c", "weight": 100, "label": "blue"}
    assert (await cloud.get())["version"] == "c"
    await until(lambda: cloud.revision("web--a")["active"] is False)
    assert "lastActiveTime" in cloud.revision("web--a")
    assert await active(cloud) == {"web--a": False, "web--b": True, "web--c": True}


async def test_a_revision_whose_label_is_taken_away_ends_and_may_still_be_named(cloud: Cloud) -> None:
    await cloud.deploy(configuration=labels("blue"), suffix="a")
    await cloud.until_ready()
    await cloud.deploy(configuration=labels("green"), suffix="b")
    await cloud.until_ready()
    both = [
        {"revisionName": "web--a", "weight": 75, "label": "blue"},
        {"revisionName": "web--a", "weight": 25, "label": "green"},
    ]
    await cloud.deploy(configuration=labels("green", *both), suffix="b")
    await until(lambda: cloud.revision("web--b")["active"] is False)
    inactive = [{**both[0], "revisionName": "web--b"}, both[1]]
    await cloud.deploy(configuration=labels("green", *inactive), suffix="b")
    assert traffic(cloud) == inactive
    stopped = cloud.revision("web--b")
    assert (stopped["active"], stopped["trafficWeight"], stopped["runningState"]) == (False, 75, "Stopped")
