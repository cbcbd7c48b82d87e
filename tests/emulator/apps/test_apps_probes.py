"""Probes: thresholds and order on a clock without time, and what they do to real replicas."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.emulator.apps.cloud import PATIENT, Cloud, until, web_template

from containerapps_emulator.apps.clock import SystemClock
from containerapps_emulator.apps.documents.template import Probe, read_template
from containerapps_emulator.apps.replicas.probes import Tally, watch
from containerapps_emulator.state import Json


class Patient:
    """Answers each kind of probe from a list, the last answer for ever; notes what was said of it."""

    def __init__(self, **answers: str) -> None:
        self.answers = {kind: list(given) for kind, given in answers.items()}
        self.story: list[str] = []
        self.ready = False

    async def check(self, probe: Probe) -> str | None:
        left = self.answers[probe.kind]
        answer = left.pop(0) if len(left) > 1 else left[0]
        return None if answer == "+" else "no"

    def on_started(self) -> None:
        self.story.append("started")

    def on_ready(self, ready: bool) -> None:
        if ready is not self.ready:
            self.story.append("ready" if ready else "unready")
        self.ready = ready

    def on_probe_failed(self, probe: Probe, problem: str) -> None:
        self.story.append(f"{probe.kind} {problem}")


class ManualClock(SystemClock):
    """Stands still, but for the test: `until` moves it on, from one sleeper's end to the next."""

    def __init__(self) -> None:
        self._now = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.Event()
        self._sleepers.append((self._now + seconds, woken))
        await woken.wait()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            for _ in range(10):  # whoever can go on without time does
                await asyncio.sleep(0)
            if self._sleepers and not holds():
                self._sleepers.sort(key=lambda sleeper: sleeper[0])
                self._now, woken = self._sleepers.pop(0)
                woken.set()


class NoTime(SystemClock):
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def probe(kind: str, **numbers: int) -> Probe:
    template = web_template(probes=[{"type": kind, "httpGet": {"path": "/healthz", "port": 80}, **numbers}])
    return read_template(template).main.probes[0]


def test_azures_defaults() -> None:
    read = probe("Liveness")
    assert (read.initial_delay_seconds, read.period_seconds, read.timeout_seconds) == (0, 10, 1)
    assert (read.success_threshold, read.failure_threshold) == (1, 3)


def test_a_tally_counts_in_a_row() -> None:
    tally = Tally(probe("Readiness", successThreshold=2, failureThreshold=2))
    assert [tally.add(answer == "+") for answer in "+-+-+++--"] == [
        None, None, None, None, None, True, True, None, False,
    ]  # fmt: skip


async def test_a_startup_probe_that_never_succeeds_ends_it() -> None:
    patient, clock = Patient(Startup="-"), NoTime()
    startup = probe("Startup", initialDelaySeconds=7, periodSeconds=5, failureThreshold=4)
    assert await watch([startup], None, patient.check, clock, patient) == "no"
    assert patient.story == ["Startup no"] * 4
    assert clock.slept == [7, 5, 5, 5]


async def test_azures_own_startup_probe_gives_up_on_a_port_that_stays_closed(
    make_cloud: Callable[..., Cloud],
) -> None:
    cloud = make_cloud(limits=replace(PATIENT, port_poll_seconds=5, open_seconds=20))
    await cloud.provision()
    await cloud.deploy(command=["/bin/bash", "-c", "sleep 60"])
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Failed")
    assert re.search(r"port \d+ is not open: connection refused", cloud.events())


async def test_a_gpu_app_may_take_its_time_to_open_its_port(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(limits=replace(PATIENT, open_seconds=1))
    await cloud.provision()
    profile = {"name": "T4", "workloadProfileType": "Consumption-GPU-NC8as-T4"}
    body = {"location": "westus3", "properties": {"workloadProfiles": [profile]}}
    await cloud.put(cloud.environment, body)
    await cloud.deploy(profile="T4", env={"START_DELAY": "0.3"})
    await cloud.until_ready()
    assert "ContainerTerminated" not in cloud.events()


async def test_the_others_wait_for_the_startup_probe() -> None:
    patient = Patient(Startup="--+", Readiness="-+", Liveness="+++---")
    probes = [probe("Liveness"), probe("Readiness"), probe("Startup")]
    assert await watch(probes, None, patient.check, NoTime(), patient) == "no"
    assert patient.story[:3] == ["Startup no", "Startup no", "started"]
    assert patient.story.index("ready") > patient.story.index("Readiness no") > patient.story.index("started")
    assert patient.story.count("Liveness no") == 3


async def test_a_start_is_noticed_sooner_than_a_period_and_failures_are_told_once_a_period() -> None:
    patient = Patient(Readiness="-" * 12 + "+", Liveness="+" * 20 + "---")
    clock = ManualClock()
    watching = asyncio.create_task(
        watch([probe("Readiness", periodSeconds=2), probe("Liveness", periodSeconds=1000)], None,
              patient.check, clock, patient)
    )  # fmt: skip
    await clock.until(lambda: patient.ready)
    assert clock.monotonic() < 3
    assert patient.story.count("Readiness no") == 2
    watching.cancel()


async def test_readiness_comes_and_goes() -> None:
    patient = Patient(Readiness="+---+", Liveness="+" * 20 + "---")
    await watch([probe("Readiness"), probe("Liveness")], None, patient.check, NoTime(), patient)
    states = [word for word in patient.story if word in ("ready", "unready")]
    assert states == ["ready", "unready", "ready"]


@pytest.mark.parametrize("target", [{"httpGet": {"path": "/", "port": 7860}}, {"tcpSocket": {"port": 7860}}])
async def test_a_readiness_probe_reaches_the_injected_port(cloud: Cloud, target: Json) -> None:
    await cloud.deploy(probes=[{"type": "Readiness", "periodSeconds": 1, "timeoutSeconds": 240, **target}])
    await cloud.until_ready()
    assert (await cloud.get())["pid"]


async def test_a_failing_readiness_probe_keeps_traffic_away(cloud: Cloud) -> None:
    await cloud.deploy(probes=[{"type": "Readiness", "httpGet": {"path": "/nothing", "port": 7860}}])
    await until(lambda: "Readiness probe failed: no HTTP answer" in cloud.events())
    revision = cloud.revision(cloud.latest)
    assert (revision["healthState"], revision["runningState"]) == ("None", "Activating")
    assert "Readiness probe failed" in revision["provisioningError"]
    assert cloud.properties["latestReadyRevisionName"] == ""


async def test_a_failing_liveness_probe_kills_and_restarts(cloud: Cloud) -> None:
    await cloud.deploy(probes=[{"type": "Liveness", "httpGet": {"path": "/nothing", "port": 7860}}])
    await until(lambda: cloud.replicas(cloud.latest)[0]["properties"]["containers"][0]["restartCount"] >= 1)
    assert "reason 'ProbeFailure'" in cloud.events()


async def test_a_startup_probe_that_fails_for_good_fails_the_revision(cloud: Cloud) -> None:
    startup: Json = {
        "type": "Startup",
        "tcpSocket": {"port": 7860},
        "failureThreshold": 1,
        "periodSeconds": 1,
    }
    await cloud.deploy(env={"START_DELAY": "60"}, probes=[startup])
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Failed")
    assert "connection refused" in cloud.revision(cloud.latest)["provisioningError"]
