"""The whole local cloud as a process: usages for Microsoft's client, faults, queries, idleness."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.appcontainers import ContainerAppsAPIClient
from tests import cpu_time
from tests.emulator.apps.cloud import DEADLINE_SECONDS, WEB

VERSION = "2025-07-01"
GROUPS_VERSION = "2022-09-01"
GPU = {"name": "GPU", "workloadProfileType": "NC24-A100", "minimumCount": 0, "maximumCount": 1}
IDLE_SECONDS = 2
MOST_IDLE_SHARE = 0.01  # of one core


class AllowHttp(SansIOHTTPPolicy):  # type: ignore[misc]
    def on_request(self, request: PipelineRequest[Any]) -> None:
        request.context.options["enforce_https"] = False


@dataclass(frozen=True, slots=True)
class Token:
    token: str

    def get_token(self, *_: str, **__: Any) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)

    def get_token_info(self, *_: str, **__: Any) -> AccessTokenInfo:
        return AccessTokenInfo(self.token, int(time.time()) + 3600)


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    connection: dict[str, Any]

    @property
    def group(self) -> str:
        return f"/subscriptions/{self.connection['subscription_id']}/resourceGroups/work"

    @property
    def azure(self) -> ContainerAppsAPIClient:
        url = self.connection["arm_url"]
        return ContainerAppsAPIClient(
            Token(self.connection["token"]),
            self.connection["subscription_id"],
            base_url=url,
            credential_scopes=[f"{url}/.default"],
            per_call_policies=[AllowHttp()],
            polling_interval=0,
            api_version=VERSION,
        )

    def http(self, token: str = "") -> httpx.Client:
        authorization = f"Bearer {token or self.connection['token']}"
        return httpx.Client(base_url=self.connection["arm_url"], headers={"authorization": authorization})

    def arm(self, method: str, path: str, body: Any = None) -> httpx.Response:
        version = VERSION if "/providers/" in path else GROUPS_VERSION
        with self.http() as client:
            return client.request(method, path, params={"api-version": version}, json=body)

    def put_environment(self, name: str, **properties: Any) -> str:
        path = f"{self.group}/providers/Microsoft.App/managedEnvironments/{name}"
        answer = self.arm("PUT", path, {"location": "westus3", "properties": properties})
        assert answer.status_code in (200, 201), answer.text
        until(lambda: self.arm("GET", path).json()["properties"]["provisioningState"] == "Succeeded")
        return path

    def put_app(self, name: str, environment: str) -> str:
        container = {
            "name": "main", "image": "none", "command": [sys.executable, str(WEB)],
        }  # fmt: skip
        properties = {
            "environmentId": environment,
            "configuration": {"ingress": {"external": True, "targetPort": 7860}},
            "template": {"containers": [container]},
        }
        path = f"{self.group}/providers/Microsoft.App/containerApps/{name}"
        answer = self.arm("PUT", path, {"location": "westus3", "properties": properties})
        assert answer.status_code in (200, 201), answer.text
        until(lambda: self.app(path)["provisioningState"] == "Succeeded")
        return path

    def app(self, path: str) -> dict[str, Any]:
        properties: dict[str, Any] = self.arm("GET", path).json()["properties"]
        return properties

    def latest(self, path: str) -> dict[str, Any]:
        name = self.app(path)["latestRevisionName"]
        properties: dict[str, Any] = self.arm("GET", f"{path}/revisions/{name}").json()["properties"]
        return properties

    def fault(self, **fault: Any) -> None:
        with self.http() as client:
            assert client.post("/_faults", json=fault).status_code == 200


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    home = tmp_path_factory.mktemp("home")
    process = subprocess.Popen(
        [sys.executable, "-m", "containerapps_emulator", "--home", str(home)], stderr=subprocess.DEVNULL
    )
    path: Path = home / "cloud" / "connection.json"
    try:
        until(path.exists)
        running = Process(process.pid, json.loads(path.read_text()))
        running.arm("PUT", running.group, {"location": "westus3"})
        yield running
    finally:
        process.terminate()
        process.wait()


def test_microsofts_client_reads_usages_and_profiles(cloud: Process) -> None:
    environment = cloud.put_environment("env", workloadProfiles=[GPU])
    name = environment.rpartition("/")[2]
    azure = cloud.azure
    usages = {str(item.name.value): item for item in azure.usages.list("westus3")}
    assert (usages["SubscriptionNCA100Gpus"].current_value, usages["SubscriptionNCA100Gpus"].limit) == (1, 2)
    offered = {str(item.name) for item in azure.available_workload_profiles.get("westus3")}
    assert {"Consumption", "Consumption-GPU-NC8as-T4", "NC24-A100"} <= offered
    assert "NC24-A100" not in {str(item.name) for item in azure.available_workload_profiles.get("eastus")}
    cores = [str(item.name.value) for item in azure.managed_environment_usages.list("work", name)]
    assert "ManagedEnvironmentConsumptionCores" in cores
    (state,) = azure.managed_environments.list_workload_profile_states("work", name)
    assert state.properties is not None
    assert (state.name, state.properties.maximum_count, state.properties.current_count) == ("GPU", 1, 0)
    with pytest.raises(HttpResponseError, match="no location 'nowhere'"):
        list(azure.usages.list("nowhere"))


def test_faults_need_the_token_and_a_name(cloud: Process) -> None:
    with cloud.http("wrong") as client:
        assert client.post("/_faults", json={"name": "quota"}).status_code == 401
    with cloud.http() as client:
        unknown = client.post("/_faults", json={"name": "fire"})
        assert unknown.status_code == 400
        assert (
            "Known faults: quota, slow_environment, image_pull_denied, stuck_replica, share_full, slow_start"
            in unknown.text
        )
        assert client.post("/_faults", json={"name": "quota", "times": -1}).status_code == 400
        assert client.get("/_faults").json()["value"] == []
        client.post("/_faults", json={"name": "quota", "times": 2})
        assert client.get("/_faults").json()["value"] == [{"name": "quota", "times": 2, "seconds": 30.0}]
        client.post("/_faults", json={"name": "quota", "times": 0})
        assert client.get("/_faults").json()["value"] == []


ENVIRONMENT = "Microsoft.App/managedEnvironments/refused"
WORKSPACE = "Microsoft.OperationalInsights/workspaces/refused"


@pytest.mark.parametrize(
    ("fault", "path", "status", "code"),
    [
        ("regional_quota", ENVIRONMENT, 400, "MaxNumberOfRegionalEnvironmentsInSubExceeded"),
        ("workspace_soft_deleted", WORKSPACE, 409, "Conflict"),
        ("throttled", ENVIRONMENT, 429, "TooManyRequests"),
        ("token_expired", ENVIRONMENT, 401, "ExpiredAuthenticationToken"),
    ],
)
def test_a_fault_refuses_until_it_is_switched_off(
    cloud: Process, fault: str, path: str, status: int, code: str
) -> None:
    cloud.fault(name=fault, times=None)
    for _ in range(2):
        refused = cloud.arm(
            "PUT", f"{cloud.group}/providers/{path}", {"location": "westus3", "properties": {}}
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
        assert ("retry-after" in refused.headers) is (status == 429)
    cloud.fault(name=fault, times=0)
    with cloud.http() as client:
        assert client.get("/_faults").json()["value"] == []


def test_a_log_stream_fault_refuses_a_fresh_token(cloud: Process) -> None:
    path = f"{cloud.group}/providers/Microsoft.App/containerApps/any"
    stream = path.replace("/providers/Microsoft.App", "") + "/eventstream"
    environment = cloud.put_environment("logs")
    cloud.put_app("any", environment)
    token = cloud.arm("POST", f"{path}/getAuthtoken").json()["properties"]["token"]
    with cloud.http(token) as client:
        cloud.fault(name="log_stream_denied")
        assert client.get(stream, params={"follow": "false"}).status_code == 401
        assert client.get(stream, params={"follow": "false"}).status_code == 200


def test_a_quota_fault_refuses_once(cloud: Process) -> None:
    cloud.fault(name="quota")
    path = f"{cloud.group}/providers/Microsoft.App/managedEnvironments/refused"
    refused = cloud.arm("PUT", path, {"location": "westus3", "properties": {}})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "MaxRegionalQuotaExceeded")
    cloud.put_environment("refused")


@pytest.mark.parametrize(
    ("fault", "state", "details"),
    [
        ("image_pull_denied", "Failed", "ImagePullUnauthorized: pulling image 'none' was denied"),
        ("stuck_replica", "Activating", "AssigningReplica: no node is free"),
    ],
)
def test_a_revision_under_a_fault_says_so(cloud: Process, fault: str, state: str, details: str) -> None:
    environment = cloud.put_environment("env")
    cloud.fault(name=fault)
    app = cloud.put_app(fault.replace("_", "-"), environment)
    until(lambda: details in cloud.latest(app).get("provisioningError", ""))
    until(lambda: cloud.latest(app)["runningState"] == state)
    assert cloud.app(app)["latestReadyRevisionName"] == ""
    cloud.arm("DELETE", app)


def test_a_slow_environment_is_late_once(cloud: Process) -> None:
    cloud.fault(name="slow_environment", seconds=1)
    begun = time.monotonic()
    cloud.put_environment("late")
    assert time.monotonic() - begun >= 1
    with cloud.http() as client:
        assert client.get("/_faults").json()["value"] == []


def test_what_a_fault_delays_goes_on_when_it_is_switched_off(cloud: Process) -> None:
    cloud.fault(name="slow_environment", seconds=86_400)
    with ThreadPoolExecutor() as pool:
        made = pool.submit(cloud.put_environment, "stuck")
        with cloud.http() as client:
            until(lambda: client.get("/_faults").json()["value"] == [])
        assert not made.done()
        cloud.fault(name="slow_environment", times=0)
        made.result(DEADLINE_SECONDS)


def test_a_slow_start_delays_the_revision(cloud: Process) -> None:
    environment = cloud.put_environment("env")
    cloud.fault(name="slow_start", seconds=1)
    begun = time.monotonic()
    app = cloud.put_app("slow", environment)
    until(lambda: bool(cloud.app(app)["latestReadyRevisionName"]))
    assert time.monotonic() - begun >= 1
    cloud.arm("DELETE", app)


def test_logs_of_a_workspace_are_queried_as_deployed(cloud: Process) -> None:
    path = f"{cloud.group}/providers/Microsoft.OperationalInsights/workspaces/logs"
    customer = cloud.arm("PUT", path, {"location": "westus3"}).json()["properties"]["customerId"]
    analytics = {"customerId": customer, "sharedKey": "key"}
    logs = {"destination": "log-analytics", "logAnalyticsConfiguration": analytics}
    app = cloud.put_app("logged", cloud.put_environment("logging", appLogsConfiguration=logs))
    until(lambda: bool(cloud.app(app)["latestReadyRevisionName"]))
    text = "ContainerAppConsoleLogs_CL | where ContainerAppName_s == 'logged' | project Log_s"
    with cloud.http() as client:
        answer = client.post(f"/v1/workspaces/{customer}/query", json={"query": text})
        assert answer.json()["tables"][0]["rows"] == [["listening, version None"]]
        cloud.arm("DELETE", path)
        assert client.post(f"/v1/workspaces/{customer}/query", json={"query": text}).status_code == 404
    cloud.arm("DELETE", app)


def test_an_idle_control_plane_uses_no_cpu(cloud: Process) -> None:
    if not cpu_time.can_be_read():
        pytest.skip("the CPU time of another process is read from /proc")
    app = cloud.put_app("idle", cloud.put_environment("env"))
    until(lambda: bool(cloud.app(app)["latestReadyRevisionName"]))
    # What former tests have deleted may still be stopping: one quiet span is enough.
    until(lambda: cpu_time.share_within(cloud.pid, IDLE_SECONDS) <= MOST_IDLE_SHARE)
    cloud.arm("DELETE", app)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
