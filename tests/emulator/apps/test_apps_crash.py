"""A control plane that is killed: nothing of it keeps running, and the next one brings it all back."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.emulator.apps.cloud import PATIENT, WEB, Cloud, is_dead, until

from containerapps_emulator.apps.replicas.container import started_at
from containerapps_emulator.apps.replicas.leftovers import PROCESSES

SCRIPT = "tests.emulator.apps.control_plane"
ROOT = Path(__file__).parents[3]


async def test_kill_9_leaves_no_container_and_a_restart_restores(
    tmp_path: Path, make_cloud: Callable[..., Cloud]
) -> None:
    folder = tmp_path / "cloud"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", SCRIPT, str(folder), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    process.kill()
    assert await process.wait() == -signal.SIGKILL
    await until(lambda: all(is_dead(pid) for pid in told["pids"]))

    cloud = make_cloud()
    cloud.documents = told["documents"]
    await cloud.service.start()
    await until(lambda: cloud.revision(cloud.latest)["healthState"] == "Healthy")
    assert cloud.url == told["url"]
    assert cloud.latest == told["latest"]
    answer = await cloud.get()
    assert answer["version"] == "1"
    assert answer["pid"] not in told["pids"]


async def test_a_group_that_outlived_its_control_plane_is_killed_at_the_start(
    make_cloud: Callable[..., Cloud],
) -> None:
    cloud = make_cloud()
    orphan = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    bystander = await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True)
    cloud.state.put(PROCESSES, "web--x-1", {"pid": orphan.pid, "started": started_at(orphan.pid) or ""})
    cloud.state.put(
        PROCESSES, "web--x-2", {"pid": bystander.pid, "started": "another process of that number"}
    )
    await cloud.service.start()
    assert await orphan.wait() == -signal.SIGKILL
    assert bystander.returncode is None
    os.kill(bystander.pid, signal.SIGKILL)
    await bystander.wait()
    assert cloud.state.list(PROCESSES) == []


async def test_stopping_waits_for_no_stubborn_container(make_cloud: Callable[..., Cloud]) -> None:
    cloud = make_cloud(limits=replace(PATIENT, shutdown_seconds=0.2))
    await cloud.provision()
    stubborn = "trap '' TERM; echo up; while true; do sleep 0.05; done"
    await cloud.deploy(command=["/bin/bash", "-c", stubborn], configuration={"ingress": None})
    await until(lambda: "up" in cloud.console(cloud.latest))
    ((_, record),) = cloud.state.list(PROCESSES)
    async with asyncio.timeout(120):
        await cloud.service.stop()
    assert is_dead(record["pid"])


async def test_a_shell_that_ends_at_sigterm_does_not_cut_its_child_short(cloud: Cloud) -> None:
    script = "(trap 'sleep 0.3; echo finished; exit' TERM; echo up; while true; do sleep 0.05; done); true"
    await cloud.deploy(command=["/bin/bash", "-c", script], configuration={"ingress": None})
    await until(lambda: "up" in cloud.console(cloud.latest))
    await cloud.ask("stop")
    await until(lambda: cloud.revision(cloud.latest)["runningState"] == "Stopped")
    assert "finished" in cloud.console(cloud.latest)


async def test_what_left_the_process_group_ends_with_the_container(cloud: Cloud) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux lets a process adopt its descendants")
    script = "setsid bash -c 'echo daemon $$; exec sleep 60' & sleep 0.2; echo up; exit 3"
    await cloud.deploy(command=["/bin/bash", "-c", script], configuration={"ingress": None})
    await until(lambda: "exit code '3'" in cloud.events())
    pids = re.findall(r"daemon (\d+)", cloud.console(cloud.latest))
    assert pids
    await until(lambda: is_dead(int(pids[0])))


async def test_a_killed_launcher_takes_the_group_with_it(cloud: Cloud) -> None:
    await cloud.deploy(command=["/bin/bash", "-c", f"python3 {WEB}; true"])
    await cloud.until_ready()
    ((_, record),) = cloud.state.list(PROCESSES)
    pid = (await cloud.get())["pid"]
    os.kill(record["pid"], signal.SIGKILL)
    await until(lambda: is_dead(pid))
    await until(lambda: "exit code '137'" in cloud.events())
