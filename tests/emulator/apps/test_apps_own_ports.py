"""Programs that listen on the target port itself, as AI Toolkit's does, whatever PORT says."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

import pytest
from tests.emulator.apps.cloud import WEB, Cloud, resource, until, web_template

from containerapps_emulator.apps.replicas.own_ports import listening_address
from containerapps_emulator.state import Json


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


def stubborn(port: int, *, address: str = "127.0.0.1") -> list[str]:
    """A command that does not care for PORT."""
    return ["/bin/bash", "-c", f"PORT={port} REMORA_HOST={address} exec python3 {WEB}"]


async def deploy(cloud: Cloud, port: int, *, mode: str = "Single", **template: Any) -> None:
    configuration = {"activeRevisionsMode": mode, "ingress": {"external": True, "targetPort": port}}
    await cloud.deploy(configuration=configuration, **{"command": stubborn(port), **template})


def containers(cloud: Cloud, revision: str) -> list[Json]:
    return [replica["properties"]["containers"][0] for replica in cloud.replicas(revision)]


async def test_it_is_reached_and_said_to_be_alone(cloud: Cloud, port: int) -> None:
    await deploy(cloud, port, env={"VERSION": "1"}, command=stubborn(port, address="0.0.0.0"))  # noqa: S104
    await cloud.until_ready()
    assert (await cloud.get())["version"] == "1"
    (container,) = containers(cloud, cloud.latest)
    assert f"listens on 0.0.0.0:{port}, not on PORT" in container["runningStateDetails"]
    assert "OwnPort" in cloud.events()


async def test_its_probes_ask_that_port(cloud: Cloud, port: int) -> None:
    http = {"path": "/", "port": port}
    kinds = ("Startup", "Readiness", "Liveness")
    probes = [
        {"type": kind, "httpGet": http, "periodSeconds": 60, "timeoutSeconds": 240, "failureThreshold": 10}
        for kind in kinds
    ]
    await deploy(cloud, port, probes=probes)
    await cloud.until_ready()
    (container,) = containers(cloud, cloud.latest)
    assert (container["ready"], container["restartCount"]) == (True, 0)


async def test_a_new_revision_begins_when_the_old_one_has_left_the_port(cloud: Cloud, port: int) -> None:
    await deploy(cloud, port, env={"VERSION": "1"})
    await cloud.until_ready()
    first = cloud.latest
    await deploy(cloud, port, env={"VERSION": "2"})
    await cloud.until_ready()
    assert cloud.latest != first
    assert (await cloud.get())["version"] == "2"
    assert cloud.replicas(first) == []
    assert "leaves its port to its successor" in cloud.events()
    (container,) = containers(cloud, cloud.latest)
    assert container["restartCount"] == 0


async def test_a_revision_that_obeys_does_not_wait_for_one_that_does_not(cloud: Cloud, port: int) -> None:
    await deploy(cloud, port, env={"VERSION": "1"})
    await cloud.until_ready()
    await deploy(cloud, port, env={"VERSION": "2"}, command=["/bin/bash", "-c", f"exec python3 {WEB}"])
    await cloud.until_ready()
    assert (await cloud.get())["version"] == "2"
    assert "leaves its port" not in cloud.events()


async def test_more_replicas_are_asked_for_and_one_runs(cloud: Cloud, port: int) -> None:
    await deploy(cloud, port, replicas=3)
    await cloud.until_ready()
    await until(lambda: len(cloud.replicas(cloud.latest)) == 1)
    assert cloud.revision(cloud.latest)["healthState"] == "Healthy"


async def test_a_restart_gives_the_port_to_the_new_replica(cloud: Cloud, port: int) -> None:
    await deploy(cloud, port)
    await cloud.until_ready()
    former = (await cloud.get())["pid"]
    await cloud.ask_revision(cloud.latest, "restart")
    await until(lambda: any(container["ready"] for container in containers(cloud, cloud.latest)))
    assert (await cloud.get())["pid"] != former


async def test_a_new_revision_that_fails_lets_the_old_one_serve_again(cloud: Cloud, port: int) -> None:
    await deploy(cloud, port, env={"VERSION": "1"})
    await cloud.until_ready()
    await deploy(cloud, port, env={"VERSION": "2", "FAIL": "3"})
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Failed")
    assert (await cloud.get())["version"] == "1"


async def test_an_old_revision_that_comes_up_late_does_not_keep_the_new_one_out(
    cloud: Cloud, port: int
) -> None:
    """As where the first deploy brings the files that a crashing revision was waiting for."""
    ready = cloud.home / "ready"
    late = f"until [ -e {ready} ]; do sleep 0.02; done"
    old = f"PORT={port} exec python3 {WEB}"
    first = ["/bin/bash", "-c", f"{late}; {old}"]
    await deploy(cloud, port, mode="Multiple", env={"VERSION": "1"}, command=first)
    open_port = f"until (echo > /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do sleep 0.02; done"
    seen = cloud.home / "seen"
    new = f"[ -e {seen} ] || {open_port}; touch {seen}; PORT={port} exec python3 {WEB}"
    await deploy(cloud, port, mode="Multiple", env={"VERSION": "2"}, command=["/bin/bash", "-c", new])
    ready.touch()
    await cloud.until_ready()
    assert (await cloud.get())["version"] == "2"


async def test_another_app_is_told_who_has_the_port(cloud: Cloud, port: int) -> None:
    await deploy(cloud, port)
    await cloud.until_ready()
    other = resource("containerApps", "other")
    properties = {
        "environmentId": str(cloud.environment),
        "configuration": {"ingress": {"external": True, "targetPort": port}},
        "template": web_template(command=stubborn(port)),
    }
    await cloud.put(other, {"location": "westus3", "properties": properties})
    log = cloud.folder / "logs" / "group" / "other" / "system.log"
    (holder,) = cloud.replicas(cloud.latest)
    await until(
        lambda: f"port {port} of this machine is in use by replica '{holder['name']}'" in log.read_text()
    )
    assert (await cloud.get())["pid"]


async def test_who_listens_is_read_from_the_system() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stranger = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    try:
        assert listening_address(os.getsid(0), port) == "127.0.0.1"
        assert listening_address(stranger.pid, port) is None
    finally:
        stranger.kill()
        await stranger.wait()
        server.close()
        await server.wait_closed()
