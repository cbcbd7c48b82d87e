"""How many replicas run: the arithmetic without time, then real processes on a clock that runs fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from tests.localcloud.apps.cloud import DEADLINE_SECONDS, PATIENT, WEB, Cloud, until

from remora.localcloud.apps.documents.scale import Scale, ScalePlan, read_scale
from remora.localcloud.state import Json

PERIOD = 15


def plan(minimum: int = 0, maximum: int = 10, target: int = 10, cooldown: float = 300) -> ScalePlan:
    return ScalePlan(minimum, maximum, cooldown, (target,), ())


def run(scale: Scale, current: int, *concurrency: float) -> list[int]:
    counts = []
    for measured in concurrency:
        current = scale.next(current, measured)
        counts.append(current)
    return counts


def test_a_stored_scale_is_read_with_azures_defaults() -> None:
    assert read_scale({"minReplicas": None, "maxReplicas": 10, "rules": None}) == plan()
    rules: list[Json] = [
        {"name": "web", "http": {"metadata": {"concurrentRequests": "4"}}},
        {"name": "queue", "custom": {"type": "azure-queue", "metadata": {}}},
    ]
    read = read_scale({"minReplicas": 2, "maxReplicas": 5, "cooldownPeriod": 60, "rules": rules})
    assert read == ScalePlan(2, 5, 60, (4,), ("queue",))
    only_custom = read_scale({"minReplicas": 0, "maxReplicas": 5, "rules": rules[1:]})
    assert (only_custom.concurrent_requests, only_custom.floor) == ((), 1)


def test_up_goes_by_steps_and_not_over_the_maximum() -> None:
    assert run(Scale(plan(maximum=40), PERIOD, 300), 0, 500, 500, 500, 500, 500, 500) == [1, 4, 8, 16, 32, 40]
    assert run(Scale(plan(), PERIOD, 300), 1, 10, 11, 20, 21) == [1, 2, 2, 3]


def test_down_waits_until_nothing_asked_for_more_in_the_window() -> None:
    counts = run(Scale(plan(minimum=1), PERIOD, 60), 1, 31, *[5] * 6)
    assert counts == [4, 4, 4, 4, 1, 1, 1]


def test_to_zero_goes_only_after_the_cooldown() -> None:
    scale = Scale(plan(cooldown=45), PERIOD, PERIOD)
    assert run(scale, 1, 1, 0, 0, 0, 0) == [1, 1, 1, 0, 0]
    assert scale.is_settled
    assert run(Scale(plan(minimum=1, cooldown=15), PERIOD, PERIOD), 1, 0, 0, 0) == [1, 1, 1]


def test_rules_that_are_not_evaluated_keep_one_replica() -> None:
    custom = ScalePlan(0, 10, 15, (), ("queue",))
    assert run(Scale(custom, PERIOD, PERIOD), 1, 0, 0, 0) == [1, 1, 1]


def scaled(minimum: int, maximum: int, target: int = 1, **more: object) -> Json:
    rule = {"name": "http", "http": {"metadata": {"concurrentRequests": str(target)}}}
    return {"minReplicas": minimum, "maxReplicas": maximum, "rules": [rule], **more}


@pytest.fixture
async def quick(make_cloud: Callable[..., Cloud]) -> Cloud:
    """15 s pass in 50 ms; what was asked for is forgotten after two evaluations."""
    cloud = make_cloud(limits=replace(PATIENT, scale_period_seconds=5, scale_stable_seconds=10))
    await cloud.service.start()
    await cloud.provision()
    return cloud


async def test_out_with_the_requests_in_flight_and_in_without(quick: Cloud) -> None:
    await quick.deploy(scale=scaled(1, 3))
    await quick.until_ready()
    release = quick.home / "release"
    asking = [asyncio.create_task(quick.get(f"/slow?until={release}")) for _ in range(5)]
    await until(lambda: len(quick.replicas(quick.latest)) == 3)
    await until(lambda: all(ready(item) for item in quick.replicas(quick.latest)))
    assert quick.revision(quick.latest)["replicas"] == 3
    release.touch()
    answers = await asyncio.gather(*asking)
    assert len(answers) == 5  # those that go in take no request with them
    await until(lambda: len(quick.replicas(quick.latest)) == 1)
    assert "Scaled from 1 to 3 replicas: 5.0 concurrent requests." in quick.events()
    assert (await quick.get())["pid"]


async def test_a_waiting_request_wakes_a_revision_at_zero(quick: Cloud) -> None:
    await quick.deploy(scale=scaled(0, 2, target=10, cooldownPeriod=5))
    await quick.until_ready()  # it runs once, to show that it can
    await until(lambda: quick.revision(quick.latest)["runningState"] == "ScaledToZero")
    assert quick.replicas(quick.latest) == []
    first, second = await asyncio.gather(quick.get(), quick.get())
    assert first["pid"] == second["pid"]
    assert "Scaled from 0 to 1 replicas: a request is waiting." in quick.events()
    await until(lambda: quick.revision(quick.latest)["runningState"] == "ScaledToZero")


async def test_a_client_that_goes_away_while_it_waits_harms_nothing(quick: Cloud) -> None:
    await quick.deploy(scale=scaled(0, 1, cooldownPeriod=5), env={"START_DELAY": "0.3"})
    await quick.until_ready()
    await until(lambda: quick.revision(quick.latest)["runningState"] == "ScaledToZero")
    async with httpx.AsyncClient(base_url=quick.url, timeout=0.1) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/")
    assert (await quick.get())["pid"]


@pytest.mark.parametrize(("program", "request_seconds", "status"), [("false", 90, 503), ("sleep 60", 1, 504)])
async def test_what_cannot_wake_up_is_503_and_takes_too_long_is_504(
    make_cloud: Callable[..., Cloud], program: str, request_seconds: float, status: int
) -> None:
    limits = replace(PATIENT, request_seconds=request_seconds, scale_period_seconds=5, scale_stable_seconds=5)
    cloud = make_cloud(limits=limits)
    await cloud.provision()
    switch = cloud.home / "broken"
    script = f"test -e {switch} && exec $(cat {switch}); exec python3 {WEB}"
    await cloud.deploy(command=["/bin/bash", "-c", script], scale=scaled(0, 1, cooldownPeriod=5))
    await cloud.until_ready()
    await until(lambda: cloud.revision(cloud.latest)["replicas"] == 0)
    switch.write_text(program)
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        assert (await client.get(cloud.url)).status_code == status


async def test_after_a_restart_what_was_at_zero_stays_there(make_cloud: Callable[..., Cloud]) -> None:
    first = make_cloud()
    await first.provision()
    await first.deploy(scale=scaled(0, 1))
    await first.until_ready()
    await first.service.stop()
    second = make_cloud()
    second.documents = first.documents
    await second.service.start()
    assert second.replicas(second.latest) == []
    assert (await second.get())["pid"]


async def test_rules_of_other_kinds_are_accepted_and_said_not_to_be_evaluated(cloud: Cloud) -> None:
    custom = {"name": "queue", "custom": {"type": "azure-queue", "metadata": {"queueLength": "5"}}}
    await cloud.deploy(scale={"minReplicas": 0, "maxReplicas": 2, "rules": [custom]})
    await cloud.until_ready()
    assert "Scale rule 'queue' is accepted and not evaluated here" in cloud.events()


def ready(replica: Json) -> bool:
    return bool(replica["properties"]["containers"][0]["ready"])
