"""The process around it all: start, stop, one at a time, and what a restart or a kill leaves."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.emulator.arm.templates import nested, template, workspace

from containerapps_emulator import listeners
from containerapps_emulator.process import run_cloud

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

_SECONDS = 300
_ACCOUNT = {"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
_GROUP = "/subscriptions/00000000-0000-0000-0000-00000000c10d/resourcegroups/work"
_FILES = f"{_GROUP}/providers/Microsoft.Storage/storageAccounts/myfiles"
_VERSION = {"api-version": "2023-05-01"}


def start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "containerapps_emulator", "--home", str(home), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def wait_for_connection(home: Path, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The connection of this very process: one that was killed leaves its own behind."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the local cloud ended"
        try:
            connection: dict[str, Any] = json.loads((home / "cloud" / "connection.json").read_text())
        except FileNotFoundError:
            connection = {}
        if connection.get("pid") == process.pid:
            return connection
        time.sleep(0.02)
    raise TimeoutError("the local cloud did not start")


@contextmanager
def cloud_process(home: Path, ending: signal.Signals) -> Iterator[tuple[dict[str, Any], httpx.Client]]:
    """A real process and a client for it; ended with the signal, which must end it."""
    process = start(home)
    try:
        connection = wait_for_connection(home, process)
        headers = {"Authorization": f"Bearer {connection['token']}"}
        with httpx.Client(base_url=connection["arm_url"], headers=headers, params=_VERSION) as client:
            yield connection, client
        process.send_signal(ending)
        assert process.wait(_SECONDS) == (-ending if ending == signal.SIGKILL else 0)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_clean_stop_removes_the_connection(tmp_path: Path, ending: signal.Signals) -> None:
    file = tmp_path / "cloud" / "connection.json"
    with cloud_process(tmp_path, ending) as (connection, client):
        assert file.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "cloud").stat().st_mode & 0o777 == 0o700
        assert set(connection) == {
            "pid",
            "arm_url",
            "files_url",
            "token",
            "subscription_id",
            "tenant_id",
            "version",
            "isolated",
            "principal_id",
        }
        assert client.get("/subscriptions").status_code == 200
    assert not file.exists()


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with cloud_process(tmp_path, signal.SIGKILL) as (first, client):
        assert client.put(_GROUP, json={"location": "eastus"}).status_code == 201
        assert client.put(_FILES, json=_ACCOUNT).status_code == 202
    with cloud_process(tmp_path, signal.SIGTERM) as (second, client):
        deadline = time.monotonic() + _SECONDS
        while client.get(_FILES).json()["properties"]["provisioningState"] != "Succeeded":
            assert time.monotonic() < deadline
        assert len(client.post(f"{_FILES}/listKeys").json()["keys"]) == 2
    assert {key: first[key] for key in ("token", "arm_url", "files_url")} == {
        key: second[key] for key in ("token", "arm_url", "files_url")
    }


def test_kill_in_a_nested_deployment_ends_where_it_would_have_ended(tmp_path: Path) -> None:
    account = {
        **_ACCOUNT,
        "type": "Microsoft.Storage/storageAccounts",
        "apiVersion": "2023-01-01",
        "name": "[concat(parameters('prefix'), copyIndex())]",
        "copy": {"name": "all", "count": 3, "mode": "serial"},
    }
    outer = template(
        [nested("inside", template([account])), workspace("last-one", dependsOn=["inside"])],
        parameters={"prefix": {"type": "string", "defaultValue": "killed"}},
    )
    deployment = f"{_GROUP}/providers/Microsoft.Resources/deployments/outside"
    with cloud_process(tmp_path, signal.SIGKILL) as (_, client):
        assert client.put(_GROUP, json={"location": "eastus"}).status_code == 201
        body = {"properties": {"mode": "Incremental", "template": outer}}
        assert client.put(deployment, json=body).status_code == 201
    with cloud_process(tmp_path, signal.SIGTERM) as (_, client):
        deadline = time.monotonic() + _SECONDS
        while (shown := client.get(deployment).json()["properties"])["provisioningState"] in (
            "Accepted",
            "Running",
        ):
            assert time.monotonic() < deadline
        assert shown["provisioningState"] == "Succeeded", shown
        names = {item["name"] for item in client.get(f"{_GROUP}/resources").json()["value"]}
        assert names == {"killed0", "killed1", "killed2", "last-one"}


def test_idle_it_sleeps_and_is_small(tmp_path: Path) -> None:
    with cloud_process(tmp_path, signal.SIGTERM) as (connection, client):
        assert client.get("/subscriptions").status_code == 200
        process = Path("/proc") / str(connection["pid"])
        if not process.is_dir():
            pytest.skip("there is no /proc on this system")
        before = processor_ticks(process)
        time.sleep(2)  # the time in which nothing must happen
        assert processor_ticks(process) - before <= 1
        (resident,) = re.findall(r"^Rss: +(\d+) kB$", (process / "smaps_rollup").read_text(), re.MULTILINE)
        assert int(resident) < 90_000


def processor_ticks(process: Path) -> int:
    """Hundredths of a second that a process has used."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_second_start_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with cloud_process(tmp_path, signal.SIGTERM) as (connection, client):
        second = start(tmp_path)
        _, told = second.communicate(timeout=_SECONDS)
        assert second.returncode == 9
        assert f"process {connection['pid']}" in told.decode()
        assert "Traceback" not in told.decode()
        assert client.get("/healthz").status_code == 200


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, "--port", str(port))
        _, told = process.communicate(timeout=_SECONDS)
    assert process.returncode == 2
    assert "port_in_use" in told.decode()
    assert str(port) in told.decode()
    assert "Traceback" not in told.decode()


def test_restart_keeps_all_and_takes_another_port_where_it_must(
    tmp_path: Path, cloud_at: Callable[..., Any]
) -> None:
    folder = tmp_path / "cloud"
    running: RunningCloud
    with cloud_at(folder) as running:
        running.resources().resource_groups.create_or_update("work", {"location": "eastus"})
        accounts = running.storage().storage_accounts
        accounts.begin_create("work", "myfiles", _ACCOUNT).result()
        keys = [key.value for key in accounts.list_keys("work", "myfiles").keys_property]
        former = running.connection
    with (
        socket.create_server(("127.0.0.1", int(former.arm_url.rsplit(":", 1)[1]))),
        cloud_at(folder) as running,
    ):
        assert running.connection.arm_url != former.arm_url
        assert (running.connection.token, running.connection.files_url) == (former.token, former.files_url)
        accounts = running.storage().storage_accounts
        assert [key.value for key in accounts.list_keys("work", "myfiles").keys_property] == keys
        assert running.connection.pid == os.getpid()


async def test_a_process_that_hears_nothing_any_more_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = asyncio.Event()

    async def main_loop(_: object) -> None:
        await ready.wait()
        raise RuntimeError("memory is short")

    monkeypatch.setattr(listeners._Server, "main_loop", main_loop)
    async with asyncio.timeout(_SECONDS):
        with pytest.raises(RuntimeError, match="memory is short"):
            await run_cloud(tmp_path, port=None, stop=asyncio.Event(), ready=lambda _: ready.set())
    assert not (tmp_path / "connection.json").exists()
