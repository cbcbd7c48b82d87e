"""Replicas of several containers: init containers, sidecars, their logs and states, volumes of secrets."""

from __future__ import annotations

from typing import Any

from tests.emulator.apps.cloud import WEB, Cloud, until

from containerapps_emulator.state import Json


def shell(script: str) -> list[str]:
    return ["/bin/bash", "-c", script]


def container(name: str, script: str, **more: Any) -> Json:
    return {"name": name, "image": "docker.io/library/none", "command": shell(script), **more}


def containers(*sidecars: Json, serving: str = f"exec python3 {WEB}", **more: Any) -> list[Json]:
    return [container("main", serving, **more), *sidecars]


def shown(cloud: Cloud, kind: str = "containers") -> list[Json]:
    replicas = cloud.replicas(cloud.latest)
    return list(replicas[0]["properties"][kind]) if replicas else []


async def test_a_sidecar_runs_beside_the_container_that_serves(cloud: Cloud) -> None:
    await cloud.deploy(containers=containers(container("helper", "echo I help; exec sleep 1000")))
    await cloud.until_ready()
    await cloud.get()
    names = {item["name"]: (item["ready"], item["runningState"]) for item in shown(cloud)}
    assert names == {"main": (True, "Running"), "helper": (True, "Running")}
    await until(lambda: "I help" in cloud.console(cloud.latest))
    assert "/containers/helper/logstream" in shown(cloud)[1]["logStreamEndpoint"]


async def test_a_sidecar_that_ends_is_started_again_and_the_replica_is_not_ready_meanwhile(
    cloud: Cloud,
) -> None:
    flag = cloud.home / "up"
    script = f"test -e {flag} || exit 7; exec sleep 1000"
    await cloud.deploy(containers=containers(container("helper", script)))
    await until(lambda: bool(shown(cloud)) and shown(cloud)[1]["restartCount"] > 0)
    # A sidecar without a probe is ready for as long as it runs, so only what is read at one time compares.
    await until(lambda: shown(cloud)[0]["started"] and not shown(cloud)[1]["ready"])
    assert not shown(cloud)[0]["ready"]
    assert "it ended with exit code 7" in cloud.events()
    flag.touch()
    await cloud.until_ready()
    await cloud.get()


async def test_init_containers_end_before_the_others_start(cloud: Cloud) -> None:
    notes = cloud.home / "notes"
    initial = [
        container("first", f"echo first >> {notes}"),
        container("second", f"echo second >> {notes}"),
    ]
    serving = f"echo main >> {notes}; exec python3 {WEB}"
    await cloud.deploy(containers=containers(serving=serving), initContainers=initial)
    await cloud.until_ready()
    assert notes.read_text().split() == ["first", "second", "main"]
    assert [item["name"] for item in shown(cloud, "initContainers")] == ["first", "second"]


async def test_an_init_container_that_fails_keeps_the_others_from_starting(cloud: Cloud) -> None:
    await cloud.deploy(containers=containers(), initContainers=[container("setup", "exit 3")])
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Failed")
    problem = cloud.revision(cloud.latest)["provisioningError"]
    assert "InitContainerFailed: init container 'setup' ended with exit code 3" in problem


async def test_a_volume_of_secrets_holds_a_file_for_each(cloud: Cloud) -> None:
    mount = cloud.folder / "secrets"
    mount.mkdir()
    serving = f"cat {mount}/one {mount}/two; exec python3 {WEB}"
    mounts = [{"volumeName": "files", "mountPath": str(mount).removeprefix("/")}]
    await cloud.deploy(
        containers=containers(serving=serving, volumeMounts=mounts),
        volumes=[{"name": "files", "storageType": "Secret", "storageName": None}],
        configuration={
            "secrets": [{"name": "one", "value": "value-of-one"}, {"name": "two", "value": "value-of-two"}]
        },
    )
    await cloud.until_ready()
    assert "value-of-onevalue-of-two" in cloud.console(cloud.latest)


async def test_what_has_no_effect_is_told(cloud: Cloud) -> None:
    cors = {"external": True, "targetPort": 7860, "corsPolicy": {"allowedOrigins": ["*"]}}
    await cloud.deploy(configuration={"ingress": cors})
    assert "'configuration.ingress.corsPolicy' is kept and has no effect here" in cloud.events()
