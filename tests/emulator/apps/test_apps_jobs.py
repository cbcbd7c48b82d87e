"""Jobs: executions with retries, timeouts and parallel replicas, their logs, schedules, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.emulator.apps.cloud import Cloud, FastClock, is_dead, resource, until

from containerapps_emulator.apps.documents.cron import Cron
from containerapps_emulator.arm.resources.api_versions import cut
from containerapps_emulator.arm.resources.resource import Accepted, ArmError
from containerapps_emulator.state import Json

JOB = resource("jobs", "work")
LONG_SECONDS = 100_000


def job(script: str = "echo done", trigger: str = "Manual", **more: Any) -> Json:
    configuration: Json = {"triggerType": trigger, "replicaTimeout": LONG_SECONDS, **more}
    container = {"name": "main", "image": "python", "command": ["/bin/bash", "-c", script]}
    environment = str(resource("managedEnvironments", "env"))
    template = {"containers": [container]}
    properties = {"environmentId": environment, "configuration": configuration, "template": template}
    return {"location": "westus3", "properties": properties}


async def start(cloud: Cloud, body: Json | None = None) -> str:
    answer = await cloud.handler(JOB.type).action(JOB, cloud.documents[JOB.key], "start", body or {})
    assert isinstance(answer, Accepted)
    assert answer.result is not None
    return str(answer.result["name"])


def execution(cloud: Cloud, name: str) -> Json:
    found = cloud.virtual("jobs/executions").get(JOB.child("executions", name))
    assert found is not None
    properties: Json = found["properties"]
    return properties


def executions(cloud: Cloud) -> list[Json]:
    return cloud.virtual("jobs/executions").list(JOB)


async def ended(cloud: Cloud, name: str) -> Json:
    await until(lambda: execution(cloud, name)["status"] != "Running")
    return execution(cloud, name)


def console(cloud: Cloud, name: str) -> str:
    logs = (cloud.folder / "job-logs" / "group" / "work").glob(f"{name}-*@*.log")
    return "".join(log.read_text() for log in logs)


class HeldClock(FastClock):
    """A wait of SECONDS ends when the test says so."""

    SECONDS = 77_777

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await (self.go_on.wait() if seconds == self.SECONDS else super().sleep(seconds))


async def test_a_manual_start_runs_the_command_to_its_end(cloud: Cloud) -> None:
    shown = await cloud.put(
        JOB, job("echo I am $CONTAINER_APP_JOB_NAME in $CONTAINER_APP_JOB_EXECUTION_NAME")
    )
    assert shown["properties"]["configuration"]["manualTriggerConfig"] == {
        "replicaCompletionCount": 1,
        "parallelism": 1,
    }
    name = await start(cloud)
    assert (await ended(cloud, name))["status"] == "Succeeded"
    assert f"I am work in {name}" in console(cloud, name)
    (replica,) = execution(cloud, name)["detailedStatus"]["replicas"]
    assert replica["containers"][0]["code"] == 0
    assert execution(cloud, name)["endTime"] >= execution(cloud, name)["startTime"]


async def test_what_a_job_prints_is_in_the_tables_of_logs(cloud: Cloud) -> None:
    analytics = {"customerId": "workspace", "sharedKey": "key"}
    logs = {"destination": "log-analytics", "logAnalyticsConfiguration": analytics}
    body = {"location": "westus3", "properties": {"appLogsConfiguration": logs}}
    await cloud.put(resource("managedEnvironments", "env"), body)
    await cloud.put(JOB, job("echo so it says"))
    name = await start(cloud)
    await ended(cloud, name)
    console = cloud.service.logs.table("workspace", "ContainerAppConsoleLogs_CL")
    assert console is not None
    (row,) = console.rows
    assert (row["ContainerJobName_s"], row["Log_s"]) == ("work", "so it says")
    assert str(row["ContainerGroupName_s"]).startswith(name)
    system = cloud.service.logs.table("workspace", "ContainerAppSystemLogs_CL")
    assert system is not None
    assert {row["JobName_s"] for row in system.rows} == {"work"}


async def test_a_job_is_shown_with_the_properties_that_the_service_showed(cloud: Cloud) -> None:
    """Those of api-version 2023-11-02-preview, by a public recording of the Azure CLI's tests."""
    shown = cut(await cloud.put(JOB, job()), JOB.type, "2023-11-02-preview")
    assert set(shown) == {"id", "name", "type", "location", "systemData", "properties", "identity"}
    properties = shown["properties"]
    assert set(properties) == {
        *("provisioningState", "environmentId", "workloadProfileName", "configuration", "template"),
        "eventStreamEndpoint",
    }
    assert properties["configuration"] == {
        **dict.fromkeys(("secrets", "scheduleTriggerConfig", "eventTriggerConfig", "registries", "dapr")),
        "triggerType": "Manual",
        "replicaTimeout": LONG_SECONDS,
        "replicaRetryLimit": 0,
        "manualTriggerConfig": {"replicaCompletionCount": 1, "parallelism": 1},
    }
    assert set(properties["template"]) == {"containers", "initContainers", "volumes"}
    (container,) = properties["template"]["containers"]
    assert container["resources"] == {"cpu": 0.5, "memory": "1Gi", "ephemeralStorage": ""}
    assert (shown["location"], shown["identity"]) == ("West US 3", {"type": "None"})


async def test_a_start_can_bring_its_own_containers(cloud: Cloud) -> None:
    await cloud.put(JOB, job("exit 1"))
    container = {"name": "main", "image": "python", "command": ["/bin/bash", "-c", "echo instead"]}
    name = await start(cloud, {"containers": [container]})
    assert (await ended(cloud, name))["status"] == "Succeeded"
    assert "instead" in console(cloud, name)
    assert (await ended(cloud, await start(cloud)))["status"] == "Failed"


async def test_a_replica_that_fails_is_run_again_up_to_the_limit(cloud: Cloud) -> None:
    tries = cloud.folder / "jobs" / "group" / "work" / "home" / "tries"
    script = "echo x >> $HOME/tries; test $(wc -l < $HOME/tries) -ge 3"
    await cloud.put(JOB, job(script, replicaRetryLimit=2))
    assert (await ended(cloud, await start(cloud)))["status"] == "Succeeded"
    assert len(tries.read_text().split()) == 3
    tries.unlink()
    await cloud.put(JOB, job(script, replicaRetryLimit=1))
    failed = await ended(cloud, await start(cloud))
    assert (failed["status"], failed["reason"]) == ("Failed", "BackoffLimitExceeded")
    assert "container 'main' ended with exit code 1" in failed["message"]
    assert len(tries.read_text().split()) == 2


async def test_a_replica_that_takes_too_long_is_ended(cloud: Cloud) -> None:
    await cloud.put(JOB, job("exec sleep 100000", replicaTimeout=1, replicaRetryLimit=5))
    failed = await ended(cloud, await start(cloud))
    assert (failed["status"], failed["reason"]) == ("Failed", "DeadlineExceeded")
    assert len(failed["detailedStatus"]["replicas"]) == 1


async def test_replicas_that_fail_together_are_all_ended(make_cloud: Callable[..., Cloud]) -> None:
    """The failure of one cancels the work of the others, and not their end."""
    clock = HeldClock()
    cloud = make_cloud(clock=clock)
    await cloud.service.start()
    await cloud.provision()
    slow_end = "mkdir $HOME/first || trap 'sleep 1; exit 0' TERM"
    script = f"{slow_end}; echo $$ >> $HOME/pids; while :; do sleep 0.05; done"
    counts = {"parallelism": 3, "replicaCompletionCount": 3}
    await cloud.put(JOB, job(script, replicaTimeout=HeldClock.SECONDS, manualTriggerConfig=counts))
    name = await start(cloud)
    pids = cloud.folder / "jobs" / "group" / "work" / "home" / "pids"
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 3)
    clock.go_on.set()
    failed = await ended(cloud, name)
    assert failed["reason"] == "DeadlineExceeded"
    assert len(failed["detailedStatus"]["replicas"]) == 3
    assert all(is_dead(int(pid)) for pid in pids.read_text().split())


@pytest.mark.parametrize("body", [{"containers": ["x"]}, {"template": "x"}, {"containers": 5}])
async def test_a_start_with_a_body_of_another_shape_is_refused(cloud: Cloud, body: Json) -> None:
    await cloud.put(JOB, job())
    with pytest.raises(ArmError) as caught:
        await start(cloud, body)
    assert (caught.value.status, caught.value.code) == (400, "InvalidRequestContent")


async def test_replicas_run_beside_each_other_until_enough_have_ended(cloud: Cloud) -> None:
    # Two meet in a folder: neither could end if they ran one after the other.
    script = (
        "mkdir -p $HOME/here && touch $HOME/here/$CONTAINER_APP_REPLICA_NAME;"
        " until test $(ls $HOME/here | wc -l) -ge 2; do sleep 0.05; done"
    )
    counts = {"parallelism": 2, "replicaCompletionCount": 3}
    await cloud.put(JOB, job(script, manualTriggerConfig=counts))
    done = await ended(cloud, await start(cloud))
    assert done["status"] == "Succeeded"
    assert len(done["detailedStatus"]["replicas"]) == 3


async def test_a_stopped_execution_is_ended_with_its_processes(cloud: Cloud) -> None:
    await cloud.put(JOB, job("trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.05; done"))
    name = await start(cloud)
    await until(lambda: "up" in console(cloud, name))
    await cloud.virtual("jobs/executions").action(JOB.child("executions", name), "stop", {})
    assert execution(cloud, name)["status"] == "Stopped"
    assert "told" in console(cloud, name)


async def test_an_execution_goes_on_when_the_control_plane_comes_back(
    make_cloud: Callable[..., Cloud],
) -> None:
    first = make_cloud()
    await first.service.start()
    await first.provision()
    await first.put(JOB, job("test -e $HOME/flag && echo again || { touch $HOME/flag; exec sleep 100000; }"))
    name = await start(first)
    flag = first.folder / "jobs" / "group" / "work" / "home" / "flag"
    await until(flag.exists)
    await first.service.stop()
    second = make_cloud()
    await second.service.start()
    assert (await ended(second, name))["status"] == "Succeeded"
    assert "again" in console(second, name)


class Noon(FastClock):
    """Stands still, and jumps ahead when somebody sleeps until then."""

    def __init__(self) -> None:
        self.now = datetime(2026, 2, 28, 23, 58, 30, tzinfo=UTC)

    def utc_now(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if seconds > 120:
            await asyncio.Event().wait()  # the next one is not due in this test
        await super().sleep(seconds)
        self.now += timedelta(seconds=seconds)


async def test_a_schedule_starts_the_job_by_the_clock_of_the_cloud(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(clock=Noon())
    await cloud.service.start()
    await cloud.provision()
    schedule = {"cronExpression": "0 0 1 * *"}
    await cloud.put(JOB, job(trigger="Schedule", scheduleTriggerConfig=schedule))
    await until(lambda: bool(executions(cloud)))
    (found,) = executions(cloud)
    assert found["name"] == f"work-{int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) // 60}"
    assert (await ended(cloud, found["name"]))["status"] == "Succeeded"


async def test_a_suspended_job_is_not_started_by_its_schedule(make_cloud: Callable[..., Cloud]) -> None:
    clock = Noon()
    cloud = make_cloud(clock=clock)
    await cloud.service.start()
    await cloud.provision()
    every = {"cronExpression": "* * * * *"}
    body = job(trigger="Schedule", scheduleTriggerConfig={"cronExpression": "0 12 * * *"})
    await cloud.put(JOB, body)
    await cloud.handler(JOB.type).action(JOB, cloud.documents[JOB.key], "suspend", {})
    assert cloud.show(JOB)["properties"]["runningState"] == "Suspended"
    body["properties"]["configuration"]["scheduleTriggerConfig"] = every
    await cloud.put(JOB, body)
    former = clock.now
    await clock.sleep(119)
    assert clock.now - former >= timedelta(seconds=119)
    assert executions(cloud) == []
    await cloud.handler(JOB.type).action(JOB, cloud.documents[JOB.key], "resume", {})
    await until(lambda: bool(executions(cloud)))


async def test_an_event_triggered_job_is_kept_and_says_that_no_event_starts_it(cloud: Cloud) -> None:
    await cloud.put(JOB, job(trigger="Event", eventTriggerConfig={"scale": {"rules": []}}))
    shown = cloud.show(JOB)["properties"]["configuration"]["eventTriggerConfig"]
    assert shown["scale"]["maxExecutions"] == 100
    events = (cloud.folder / "job-logs" / "group" / "work" / "system.log").read_text()
    assert "'configuration.eventTriggerConfig' is kept and has no effect here" in events


async def test_deleting_a_job_ends_it_and_removes_what_it_kept(cloud: Cloud) -> None:
    await cloud.put(JOB, job("echo up; exec sleep 100000"))
    name = await start(cloud)
    await until(lambda: "up" in console(cloud, name))
    await cloud.handler(JOB.type).delete(JOB, cloud.documents[JOB.key])
    assert executions(cloud) == []
    assert not (cloud.folder / "jobs" / "group" / "work").exists()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (job(trigger="Sometimes"), "ContainerAppInvalidSchema"),
        (job(replicaTimeout=0), "WebhookInvalidParameterValue"),
        (job(replicaRetryLimit=-1), "WebhookInvalidParameterValue"),
        (job(manualTriggerConfig={"parallelism": 0}), "WebhookInvalidParameterValue"),
        (job(trigger="Schedule"), "InvalidCronExpression"),
        (
            job(trigger="Schedule", scheduleTriggerConfig={"cronExpression": "61 * * * *"}),
            "InvalidCronExpression",
        ),
        (job(secrets=[{"name": "A", "value": "x"}]), "ContainerAppInvalidSecretName"),
    ],
)
async def test_what_azure_refuses_is_refused_by_its_code(cloud: Cloud, body: Json, code: str) -> None:
    with pytest.raises(ArmError) as refusal:
        await cloud.put(JOB, body)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "2026-02-10T08:31"),
        ("*/20 * * * *", "2026-02-10T08:40"),
        ("0 9-17/4 * * mon-fri", "2026-02-10T09:00"),
        ("5,35 0 29 2 *", "2028-02-29T00:05"),
        ("5 0 29 2 1", "2026-02-16T00:05"),  # either day: the 29th, or a Monday of February
        ("0 0 * * 7", "2026-02-15T00:00"),
        ("30 8 10 2 *", "2027-02-10T08:30"),
        ("0 0 1 jan *", "2027-01-01T00:00"),
    ],
)
def test_the_next_minute_of_a_cron_expression(text: str, expected: str) -> None:
    now = datetime(2026, 2, 10, 8, 30, 20, tzinfo=UTC)
    assert Cron.parse(text).after(now) == datetime.fromisoformat(f"{expected}+00:00")


@pytest.mark.parametrize(
    "text", ["", "* * * *", "60 * * * *", "* * 0 * *", "a * * * *", "5-1 * * * *", "*/0 * * * *"]
)
def test_what_is_no_cron_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Cron.parse(text)


def test_a_day_that_never_comes_is_never_due() -> None:
    assert Cron.parse("0 0 31 2 *").after(datetime(2026, 1, 1, tzinfo=UTC)) is None
