"""From a template to an answer: processes, environment, mounts, revisions, switches, restarts."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from tests.emulator.apps.cloud import DEADLINE_SECONDS, PATIENT, WEB, Cloud, until, web_template

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

MUST_BIND = os.getuid() == 0 and os.uname().sysname == "Linux"


async def test_a_deployed_app_answers_through_its_ingress(cloud: Cloud) -> None:
    shown = await cloud.deploy(env={"VERSION": "1"})
    assert shown["properties"]["provisioningState"] == "Succeeded"
    await cloud.until_ready()
    assert (await cloud.get())["version"] == "1"
    (revision,) = cloud.revisions()
    assert revision["properties"]["healthState"] == "Healthy"
    assert revision["properties"]["runningState"] == "Running"
    assert revision["properties"]["trafficWeight"] == 100
    (replica,) = cloud.replicas(cloud.latest)
    assert replica["name"].startswith(f"{cloud.latest}-")
    assert replica["properties"]["runningState"] == "Running"
    assert replica["properties"]["containers"][0]["ready"] is True
    assert "is not pulled" in cloud.events()


async def test_nothing_ready_is_azures_503(cloud: Cloud) -> None:
    await cloud.deploy(env={"START_DELAY": "30"})
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        answer = await client.get(cloud.url)
    assert answer.status_code == 503
    assert answer.text.startswith("upstream connect error or disconnect/reset before headers.")
    assert cloud.revision(cloud.latest)["runningState"] == "Activating"


async def test_the_container_sees_its_variables_and_no_others(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    await cloud.deploy(
        configuration={"secrets": [{"name": "api-key", "value": "s3cret"}]},
        env={"PLAIN": "text"},
        variables=[{"name": "REMORA_API_KEY", "secretRef": "api-key"}],
    )
    await cloud.until_ready()
    seen = await cloud.get("/env")
    (replica,) = cloud.replicas(cloud.latest)
    assert seen["PLAIN"] == "text"
    assert seen["REMORA_API_KEY"] == "s3cret"
    assert seen["PORT"] == seen["CONTAINER_APP_PORT"] != "7860"
    assert seen["REMORA_HOST"] == "127.0.0.1"
    assert seen["CONTAINER_APP_NAME"] == "web"
    assert seen["CONTAINER_APP_REVISION"] == cloud.latest
    assert seen["CONTAINER_APP_REPLICA_NAME"] == replica["name"]
    assert "SECRET_OF_THE_HOST" not in seen
    assert "s3cret" not in str(cloud.show(cloud.app))


async def test_the_share_is_at_its_mount_path(cloud: Cloud) -> None:
    if not MUST_BIND:
        pytest.skip("bind mounts need rights that this user may not have")
    (cloud.folder / "shares/account/data/greeting").write_text("hello")
    path = cloud.folder / "mount"
    await cloud.deploy(mount=str(path))
    await cloud.until_ready()
    assert await cloud.get(f"/file?path={path}/greeting") == {"content": "hello"}
    assert (await cloud.get("/env"))["REMORA_MOUNT"] == str(path)
    assert list(path.iterdir()) == []  # the rest of the machine sees nothing of it


async def test_a_read_only_share_cannot_be_written_and_an_empty_volume_can(cloud: Cloud) -> None:
    if not MUST_BIND:
        pytest.skip("bind mounts need rights that this user may not have")
    share, scratch = cloud.folder / "mount", cloud.folder / "scratch"
    file = {"accountName": "account", "shareName": "data", "accessMode": "ReadOnly"}
    storage = cloud.environment.child("storages", "files")
    await cloud.put(storage, {"properties": {"azureFile": file}})
    script = f"touch {scratch}/a && echo scratch is writable; touch {share}/b || echo share is not; sleep 60"
    template = web_template(mount=str(share), command=["/bin/bash", "-c", script])
    template["containers"][0]["volumeMounts"].append({"volumeName": "scratch", "mountPath": str(scratch)})
    template["volumes"].append({"name": "scratch", "storageType": "EmptyDir"})
    body = {"environmentId": str(cloud.environment), "template": template}
    await cloud.put(cloud.app, {"location": "westus3", "properties": body})
    await until(lambda: "share is not" in cloud.console(cloud.latest))
    assert "scratch is writable" in cloud.console(cloud.latest)


async def test_without_namespaces_the_path_is_mapped_in_texts(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(namespaces=False)
    await cloud.provision()
    share = cloud.folder / "shares/account/data"
    (share / "web.py").write_bytes(WEB.read_bytes())
    await cloud.deploy(
        mount="/mount",
        command=["/bin/bash", "-c", "cd /mount; exec python3 ./web.py"],
        env={"DATA": "/mount/x", "OTHER": "/mounted", "NESTED": "/a/mount"},
    )
    await cloud.until_ready()
    seen = await cloud.get("/env")
    assert seen["REMORA_MOUNT"] == str(share)
    assert (seen["DATA"], seen["OTHER"], seen["NESTED"]) == (f"{share}/x", "/mounted", "/a/mount")


async def test_a_new_template_takes_over_without_a_failed_request(cloud: Cloud) -> None:
    await cloud.deploy(env={"VERSION": "1"})
    await cloud.until_ready()
    first = cloud.latest
    answers: list[tuple[int, str]] = []
    done = asyncio.Event()

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=cloud.url, timeout=DEADLINE_SECONDS) as client:
            while not done.is_set():
                answer = await client.get("/")
                answers.append((answer.status_code, answer.json()["version"]))

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    await until(lambda: len(answers) > 20)
    await cloud.deploy(env={"VERSION": "2", "START_DELAY": "0.3"})
    await cloud.until_ready()
    await until(lambda: cloud.revision(first)["runningState"] == "Stopped")
    count = len(answers)
    await until(lambda: len(answers) > count + 20)
    done.set()
    await asyncio.gather(*asking)
    assert {status for status, _ in answers} == {200}
    assert answers[0][1] == "1"
    assert {version for _, version in answers[count + 4 :]} == {"2"}
    assert cloud.latest == "web--0000001"
    await until(lambda: cloud.revision(first)["active"] is False)


async def test_a_request_in_flight_finishes_on_the_old_revision(cloud: Cloud) -> None:
    await cloud.deploy(env={"VERSION": "1"})
    await cloud.until_ready()
    first, release = cloud.latest, cloud.home / "release"
    slow = asyncio.create_task(cloud.get(f"/slow?until={release}"))
    await until(lambda: "slow request begun" in cloud.console(first))
    await cloud.deploy(env={"VERSION": "2"})
    await cloud.until_ready()
    assert cloud.revision(first)["runningState"] == "Deprovisioning"
    assert (await cloud.get())["version"] == "2"
    assert not slow.done()
    release.touch()
    assert await slow == {"version": "1"}
    await until(lambda: cloud.revision(first)["runningState"] == "Stopped")


async def test_what_ignores_sigterm_is_killed_after_its_grace(cloud: Cloud) -> None:
    script = "trap '' TERM; echo up; while true; do sleep 0.05; done"
    no_ingress = {"ingress": None}
    await cloud.deploy(
        command=["/bin/bash", "-c", script], terminationGracePeriodSeconds=1, configuration=no_ingress
    )
    await until(lambda: "up" in cloud.console(cloud.latest))
    await cloud.ask("stop")
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Stopped")
    assert "exit code '137' and reason 'ManuallyStopped'" in cloud.events()


async def test_a_broken_revision_leaves_the_old_one_serving_and_says_why(cloud: Cloud) -> None:
    await cloud.deploy(env={"VERSION": "1"})
    await cloud.until_ready()
    first = cloud.latest
    await cloud.deploy(env={"VERSION": "2", "FAIL": "3"})
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Failed")
    broken = cloud.revision(cloud.latest)
    assert broken["healthState"] == "Unhealthy"
    assert "terminated with exit code '3' and reason 'ProcessExited'" in broken["provisioningError"]
    assert "cannot start: 3" in broken["provisioningError"]
    assert cloud.properties["latestReadyRevisionName"] == first
    assert cloud.revision(first)["active"] is True
    assert (await cloud.get())["version"] == "1"
    await cloud.deploy(env={"VERSION": "3"})
    await cloud.until_ready()
    assert (await cloud.get())["version"] == "3"
    # Until it has ended, a revision is shown as an active one that is deprovisioning.
    await until(lambda: [item["properties"]["active"] for item in cloud.revisions()] == [False, False, True])


async def test_a_template_without_a_command_says_that_images_are_not_pulled(cloud: Cloud) -> None:
    body = {
        "environmentId": str(cloud.environment),
        "configuration": {"ingress": {"external": True, "targetPort": 80}},
        "template": {"containers": [{"name": "main", "image": "nginx"}]},
    }
    await cloud.put(cloud.app, {"location": "westus3", "properties": body})
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Failed")
    assert (
        "names no command, and image 'nginx' is not pulled"
        in cloud.revision(cloud.latest)["provisioningError"]
    )


async def test_a_share_that_is_gone_is_named(cloud: Cloud) -> None:
    (cloud.folder / "shares/account/data").rmdir()
    await cloud.deploy(mount="/mount")
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Failed")
    assert "VolumeMountFailure: share 'data'" in cloud.revision(cloud.latest)["provisioningError"]


async def test_an_unchanged_template_makes_no_revision(cloud: Cloud) -> None:
    await cloud.deploy(env={"VERSION": "1"})
    first = cloud.latest
    await cloud.deploy(env={"VERSION": "1"}, suffix="", initContainers=[], serviceBinds=None)
    await cloud.deploy(env={"VERSION": "1"}, configuration={"maxInactiveRevisions": 5})
    assert [item["name"] for item in cloud.revisions()] == [first]


async def test_revision_names(cloud: Cloud) -> None:
    await cloud.deploy(env={"VERSION": "1"}, replicas=0)
    await cloud.deploy(env={"VERSION": "2"}, replicas=0)
    await cloud.deploy(env={"VERSION": "3"}, replicas=0, suffix="blue")
    await cloud.deploy(env={"VERSION": "3"}, replicas=0, suffix="blue")
    first, *others = [item["name"] for item in cloud.revisions()]
    assert first.startswith("web--")
    assert len(first) == len("web--") + 7
    assert others == ["web--0000001", "web--blue"]
    with pytest.raises(ArmError, match="revision with suffix blue already exists") as refused:
        await cloud.deploy(env={"VERSION": "4"}, replicas=0, suffix="blue")
    assert refused.value.status == 400
    assert len(cloud.revisions()) == 3


@pytest.mark.parametrize("replicas", [2, 3])
async def test_replicas_that_come_up_one_after_the_other_are_no_failure(cloud: Cloud, replicas: int) -> None:
    turn = cloud.home / "turn"
    turn.mkdir()
    script = f"until mkdir {turn}/open 2> /dev/null; do sleep 0.02; done; exec python3 {WEB}"
    await cloud.deploy(replicas=replicas, command=["/bin/bash", "-c", script])
    for ready in range(1, replicas):
        await until(lambda ready=ready: ready_replicas(cloud) == ready)  # type: ignore[misc]
        seen = cloud.revision(cloud.latest)
        states = (seen["healthState"], seen["runningState"], seen["provisioningState"])
        assert states == ("None", "Degraded", "Provisioning")
        (turn / "open").rmdir()
    await until(lambda: cloud.revision(cloud.latest)["healthState"] == "Healthy")
    assert cloud.revision(cloud.latest)["runningState"] == "Running"


def ready_replicas(cloud: Cloud) -> int:
    replicas = cloud.replicas(cloud.latest)
    return sum(replica["properties"]["containers"][0]["ready"] for replica in replicas)


async def test_replicas_take_turns(cloud: Cloud) -> None:
    await cloud.deploy(replicas=2)
    await until(lambda: cloud.revision(cloud.latest)["healthState"] == "Healthy")
    pids = [(await cloud.get())["pid"] for _ in range(6)]
    assert len(set(pids)) == 2
    assert all(one != other for one, other in itertools.pairwise(pids))


async def test_a_crash_is_restarted_with_back_off(cloud: Cloud) -> None:
    await cloud.deploy()
    await cloud.until_ready()
    for restarts in (1, 2, 3):
        with pytest.raises(httpx.HTTPError):
            async with httpx.AsyncClient(base_url=cloud.url, timeout=DEADLINE_SECONDS) as client:
                (await client.get("/exit?code=7")).raise_for_status()
        await until_restarted(cloud, restarts)
    assert "terminated with exit code '7'" in cloud.events()
    for seconds in (0, 1, 2):
        assert f"Back-off {seconds} s" in cloud.events()
    assert (await cloud.get())["pid"]


async def test_requests_wait_for_the_only_replica_after_a_kill(cloud: Cloud) -> None:
    await cloud.deploy(env={"VERSION": "1"})
    await cloud.until_ready()
    killed = (await cloud.get())["pid"]
    os.kill(killed, signal.SIGKILL)
    answers = await asyncio.gather(*(cloud.get() for _ in range(5)))
    assert {answer["version"] for answer in answers} == {"1"}
    assert killed not in {answer["pid"] for answer in answers}


async def test_a_request_waits_so_long_and_is_told_when_to_come_again(
    make_cloud: Callable[..., Cloud],
) -> None:
    cloud = make_cloud(limits=replace(PATIENT, recovery_seconds=0.2))
    await cloud.provision()
    gone = cloud.home / "gone"
    script = f"[ ! -e {gone} ] || exec sleep 60; exec python3 {WEB}"
    await cloud.deploy(command=["/bin/bash", "-c", script])
    await cloud.until_ready()
    gone.touch()
    os.kill((await cloud.get())["pid"], signal.SIGKILL)
    async with httpx.AsyncClient(timeout=300) as client:
        answer = await client.get(cloud.url)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_long_healthy_run_resets_the_back_off(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(limits=replace(PATIENT, back_off_reset_seconds=0))
    await cloud.provision()
    await cloud.deploy()
    await cloud.until_ready()
    for restarts in (1, 2):
        async with httpx.AsyncClient(base_url=cloud.url, timeout=DEADLINE_SECONDS) as client:
            assert (await client.get("/exit?code=7")).status_code == 502
        await until_restarted(cloud, restarts)
    assert "Back-off 1 s" not in cloud.events()


async def test_activate_deactivate_restart(cloud: Cloud) -> None:
    await cloud.deploy()
    await cloud.until_ready()
    name, (before,) = cloud.latest, cloud.replicas(cloud.latest)
    assert await cloud.ask_revision(name, "restart") == "Restart succeeded"
    await until(lambda: bool(container(cloud)["ready"]) and cloud.replicas(name)[0]["name"] != before["name"])
    assert await cloud.ask_revision(name, "deactivate") == "Deactivate succeeded"
    await until(lambda: cloud.revision(name)["active"] is False)  # it is shown as active until it has ended
    assert await cloud.ask_revision(name, "activate") == "Activate succeeded"
    await until(lambda: cloud.revision(name)["healthState"] == "Healthy")
    assert (await cloud.get())["pid"]
    with pytest.raises(ArmError) as unknown:
        await cloud.ask_revision("web--nothere", "restart")
    assert unknown.value.status == 404


async def test_stop_and_start(cloud: Cloud) -> None:
    await cloud.deploy()
    await cloud.until_ready()
    shown = await cloud.ask("stop")
    assert shown["properties"]["runningStatus"] == "Stopped"
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        answer = await client.get(cloud.url)
    assert (answer.status_code, answer.text[:9]) == (404, "Error 404")
    await cloud.ask("start")
    await until(lambda: cloud.revision(cloud.latest)["healthState"] == "Healthy")
    assert (await cloud.get())["pid"]


async def test_deleting_stops_everything(cloud: Cloud) -> None:
    await cloud.deploy()
    await cloud.until_ready()
    pid = (await cloud.get())["pid"]
    with pytest.raises(ArmError, match="still has container apps: web"):
        await cloud.handler(cloud.environment.type).delete(cloud.environment, {})
    await cloud.handler(cloud.app.type).delete(cloud.app, cloud.documents[cloud.app.key])
    assert not (cloud.folder / "replicas").exists() or not list((cloud.folder / "replicas").iterdir())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert cloud.revisions() == []


async def test_multiple_mode_routes_by_weight(cloud: Cloud) -> None:
    multiple = {"activeRevisionsMode": "Multiple"}
    await cloud.deploy(configuration=multiple, env={"VERSION": "a"}, suffix="a")
    await cloud.until_ready()
    traffic = [{"revisionName": "web--a", "weight": 75}, {"revisionName": "web--b", "weight": 25}]
    ingress = {"external": True, "targetPort": 7860, "traffic": traffic}
    await cloud.deploy(configuration={**multiple, "ingress": ingress}, env={"VERSION": "b"}, suffix="b")
    await cloud.until_ready()
    versions = [(await cloud.get())["version"] for _ in range(8)]
    assert sorted(versions) == ["a"] * 6 + ["b"] * 2
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        straight = await client.get(f"http://{cloud.properties['latestRevisionFqdn']}")
    assert straight.json()["version"] == "b"
    assert [item["properties"]["trafficWeight"] for item in cloud.revisions()] == [75, 25]


def container(cloud: Cloud) -> Json:
    document: Json = cloud.replicas(cloud.latest)[0]["properties"]["containers"][0]
    return document


async def until_restarted(cloud: Cloud, times: int) -> None:
    await until(lambda: bool(container(cloud)["ready"]) and container(cloud)["restartCount"] == times)
