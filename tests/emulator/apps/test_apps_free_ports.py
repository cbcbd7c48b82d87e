"""Ports of containers: never one for two replicas, however early they ask."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.emulator.apps.cloud import WEB, Cloud, until

from containerapps_emulator.apps.replicas.free_ports import RANGE, FreePorts

ADDRESS = "127.0.0.1"


def test_a_port_is_handed_out_once_although_nobody_listens_there_yet() -> None:
    few = [port for port in RANGE if can_listen(port)][:4]
    ports = FreePorts(few)
    with ThreadPoolExecutor(4) as at_once:
        given = list(at_once.map(lambda _: ports.reserve(ADDRESS), range(4)))
    assert sorted(given) == few
    with pytest.raises(OSError, match=f"no port from {few[0]} to {few[-1]} is free on {ADDRESS}"):
        ports.reserve(ADDRESS)
    ports.give_back(given[0])
    assert ports.reserve(ADDRESS) == given[0]


def test_a_port_that_another_program_has_is_passed_over() -> None:
    with socket.create_server((ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="is free"):
            FreePorts([port]).reserve(ADDRESS)


async def test_replicas_that_start_at_once_have_ports_of_their_own(cloud: Cloud) -> None:
    """They say which they were given before any of them listens."""
    go_on = cloud.home / "go-on"
    script = f"echo given $PORT; until [ -e {go_on} ]; do sleep 0.02; done; exec python3 {WEB}"
    await cloud.deploy(replicas=6, command=["/bin/bash", "-c", script])
    await until(lambda: len(given(cloud)) == 6)
    go_on.touch()
    assert len(set(given(cloud))) == 6
    await until(lambda: cloud.revision(cloud.latest)["healthState"] == "Healthy")


def given(cloud: Cloud) -> list[str]:
    lines = cloud.console(cloud.latest).splitlines()
    return [line.rpartition(" ")[2] for line in lines if " given " in line]


def can_listen(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True
