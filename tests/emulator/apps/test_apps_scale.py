"""How many replicas run: the arithmetic without time, then real processes on a clock that runs fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tests.emulator.apps.cloud import DEADLINE_SECONDS, PATIENT, WEB, Cloud, FastClock, until

from containerapps_emulator.apps.documents.scale import Scale, ScalePlan, read_scale
from containerapps_emulator.state import Json

PERIOD = 15
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def plan(minimum: int = 0, maximum: int = 10, target: int = 10, cooldown: float = 300) -> ScalePlan:
    return ScalePlan(minimum, maximum, cooldown, (target,), ())


def run(scale: Scale, current: int, *concurrency: float) -> list[int]:
    counts = []
    for measured in concurrency:
        current = scale.next(current, measured, NOW)
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
    assert (only_custom.concurrent_requests, only_custom.floor(NOW)) == ((), 1)


def test_up_goes_by_steps_and_not_over_the_maximum() -> None:
    assert run(Scale(plan(maximum=40), PERIOD, 300), 0, 500, 500, 500, 500, 500, 500) == [1, 4, 8, 16, 32, 40]
    assert run(Scale(plan(), PERIOD, 300), 1, 10, 11, 20, 21) == [1, 2, 2, 3]


def test_down_waits_until_nothing_asked_for_more_in_the_window() -> None:
    counts = run(Scale(plan(minimum=1), PERIOD, 60), 1, 31, *[5] * 6)
    assert counts == [4, 4, 4, 4, 1, 1, 1]


def test_to_zero_goes_only_after_the_cooldown() -> None:
    scale = Scale(plan(cooldown=45), PERIOD, PERIOD)
    assert run(scale, 1, 1, 0, 0, 0, 0) == [1, 1, 1, 0, 0]
    assert scale.is_settled(NOW)
    assert run(Scale(plan(minimum=1, cooldown=15), PERIOD, PERIOD), 1, 0, 0, 0) == [1, 1, 1]


def test_rules_that_are_not_evaluated_keep_one_replica() -> None:
    custom = ScalePlan(0, 10, 15, (), ("queue",))
    assert run(Scale(custom, PERIOD, PERIOD), 1, 0, 0, 0) == [1, 1, 1]


def cron(start: str, end: str, timezone: str = "UTC", replicas: int = 1) -> Json:
    metadata = {"timezone": timezone, "start": start, "end": end, "desiredReplicas": str(replicas)}
    return {"name": "hours", "custom": {"type": "cron", "metadata": metadata}}


@pytest.mark.parametrize(
    ("rule", "moment", "floor"),
    [
        (cron("0 8 * * 1-5", "0 18 * * 1-5"), "2026-11-30T12:00", 1),  # a Monday
        (cron("0 8 * * 1-5", "0 18 * * 1-5"), "2026-11-30T07:59", 0),
        (cron("0 8 * * 1-5", "0 18 * * 1-5"), "2026-11-30T18:00", 0),
        (cron("0 8 * * 1-5", "0 18 * * 1-5"), "2026-11-29T12:00", 0),
        (cron("0 8 * * 1-5", "0 18 * * 1-5", "Europe/Oslo"), "2026-11-30T07:30", 1),
        (cron("0 8 * * 1-5", "0 18 * * 1-5", "Europe/Oslo"), "2026-11-30T17:30", 0),
        (cron("0 22 * * 1", "0 6 * * 2", replicas=2), "2026-12-01T05:00", 2),  # over midnight
        (cron("0 22 * * 1", "0 6 * * 2", replicas=2), "2026-12-02T05:00", 0),
        (cron("0 22 * * 1", "0 6 * * 2", replicas=50), "2026-11-30T23:00", 3),  # not over the maximum
        (cron("10 12 30 11 *", "10 20 30 11 *"), "2026-11-30T12:30", 1),  # a time to live
        (cron("10 12 30 11 *", "10 20 30 11 *"), "2026-11-30T20:30", 0),
    ],
)
def test_a_cron_rule_keeps_replicas_from_its_start_to_its_end(rule: Json, moment: str, floor: int) -> None:
    plan = read_scale({"minReplicas": 0, "maxReplicas": 3, "rules": [rule]})
    assert plan.not_evaluated == ()
    assert plan.floor(datetime.fromisoformat(moment).replace(tzinfo=UTC)) == floor


def test_what_a_window_kept_goes_after_the_cooldown_that_follows_it() -> None:
    rule = cron("0 8 * * *", "0 18 * * *")
    scale = Scale(read_scale({"maxReplicas": 3, "cooldownPeriod": 30, "rules": [rule]}), PERIOD, PERIOD)
    late = NOW.replace(hour=17, minute=59, second=30)
    counts = [scale.next(1, 0, late + timedelta(seconds=PERIOD * number)) for number in range(6)]
    assert counts == [1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    "wrong", [{"start": "8 o'clock"}, {"timezone": "Mars/Base"}, {"desiredReplicas": ""}]
)
def test_a_cron_rule_that_keda_would_not_take_is_said_not_to_be_evaluated(wrong: Json) -> None:
    rule = cron("0 8 * * *", "0 18 * * *")
    rule["custom"]["metadata"] |= wrong
    assert read_scale({"rules": [rule]}).not_evaluated == ("hours",)


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


class SettableClock(FastClock):
    """The time of day stands still until a test moves it."""

    now = datetime(2026, 11, 30, 7, tzinfo=UTC)

    def utc_now(self) -> datetime:
        return self.now


async def test_a_sleeping_app_wakes_when_its_window_begins(make_cloud: Callable[..., Cloud]) -> None:
    clock = SettableClock()
    limits = replace(PATIENT, scale_period_seconds=5, scale_stable_seconds=5)
    cloud = make_cloud(clock=clock, limits=limits)
    await cloud.service.start()
    await cloud.provision()
    hours = {**scaled(0, 1, cooldownPeriod=5)}
    hours["rules"] = [*hours["rules"], cron("0 8 * * *", "0 18 * * *")]
    await cloud.deploy(scale=hours)
    await cloud.until_ready()
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "ScaledToZero")
    clock.now = clock.now.replace(hour=8, second=1)
    await until(lambda: len(cloud.replicas(cloud.latest)) == 1)
    assert "Scaled from 0 to 1 replicas: a cron rule asks for 1." in cloud.events()
    clock.now = clock.now.replace(hour=18, second=1)
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "ScaledToZero")
    await cloud.service.stop()
    clock.now = clock.now.replace(hour=19)
    again = make_cloud(clock=clock, limits=limits)
    again.documents = cloud.documents
    await again.service.start()
    assert again.replicas(again.latest) == []
    clock.now = (clock.now + timedelta(days=1)).replace(hour=8)
    await until(lambda: len(again.replicas(again.latest)) == 1)


async def test_rules_of_other_kinds_are_accepted_and_said_not_to_be_evaluated(cloud: Cloud) -> None:
    custom = {"name": "queue", "custom": {"type": "azure-queue", "metadata": {"queueLength": "5"}}}
    await cloud.deploy(scale={"minReplicas": 0, "maxReplicas": 2, "rules": [custom]})
    await cloud.until_ready()
    assert "Scale rule 'queue' is accepted and not evaluated here" in cloud.events()


def ready(replica: Json) -> bool:
    return bool(replica["properties"]["containers"][0]["ready"])
