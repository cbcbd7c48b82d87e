"""`kill -9` of the local cloud at random moments of provisioning, upload and rollout.

After every kill it is started again, and then: every acknowledged write is there, every deployment comes
to an end, and the endpoint serves. REMORA_KILL_SEED repeats a run, REMORA_KILL_ROUNDS changes its length
(`make conformance` does 50).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import pytest

from remora.azure.app.apps import ContainerApp
from remora.azure.app.scale import Scale
from remora.azure.profile import Clients, load_profile
from remora.azure.provisioning.groups import list_subscriptions
from remora.azure.share.files import Share
from remora.errors import RemoraError

ROUNDS = int(os.environ.get("REMORA_KILL_ROUNDS", "10"))
SEED = int(os.environ.get("REMORA_KILL_SEED", str(random.SystemRandom().randrange(2**32))))
GROUP, ACCOUNT, SHARE, APP = "kills", "killsaccount", "files", "victim"
MOST_SECONDS_UNTIL_KILL = 0.4
PATIENCE_SECONDS = 300

SERVER = (
    "import http.server, os\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        self.send_response(200); self.end_headers(); self.wfile.write(os.environ['ROUND'].encode())\n"
    "    def log_message(self, *a): pass\n"
    "http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()\n"
)


class VictimCloud:
    """A local cloud process that is killed and started again, and what was acknowledged before."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.files: dict[PurePosixPath, bytes] = {}
        self.deployments: dict[str, bool] = {}  # name → whether its success was acknowledged
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        connection = self.home / "cloud" / "connection.json"
        connection.unlink(missing_ok=True)
        command = [sys.executable, "-m", "containerapps_emulator", "--home", str(self.home)]
        self._process = process = subprocess.Popen(command)
        until(lambda: connection.exists() or process.poll() is not None)
        assert process.poll() is None

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(timeout=PATIENCE_SECONDS) == 0

    def clients(self) -> Clients:
        """New clients, as a new command would make them."""
        clients = Clients(load_profile("local", self.home))
        return clients.for_subscription(list_subscriptions(clients)[0][0])

    @property
    def share(self) -> Share:
        return Share(self.clients(), GROUP, ACCOUNT, SHARE)

    @property
    def app(self) -> ContainerApp:
        return ContainerApp(self.clients(), GROUP, APP)

    # What goes on while the kill comes. Each remembers only what the cloud has acknowledged.

    def provision(self, number: int) -> None:
        name = f"round-{number}"
        self.deployments[name] = False
        operations = self.clients().deployments.deployments
        operations.begin_create_or_update(GROUP, name, deployment(number)).result(PATIENCE_SECONDS)
        self.deployments[name] = True

    def upload(self, number: int) -> None:
        share = self.share
        for part in range(40):
            path = PurePosixPath("rounds", str(number), f"{part}.bin")
            data = f"{number}/{part} ".encode() * (1 + part * 200)
            share.upload(path, data)
            self.files[path] = data
            whole = PurePosixPath("pointer.json")
            share.replace(whole, data)
            self.files[whole] = data

    def roll_out(self, number: int) -> None:
        self.app.roll_out({"ROUND": str(number)}, Scale(1, 1))

    # What must hold afterwards.

    def check(self) -> None:
        share = self.share
        assert {path: share.read(path) for path in self.files if path.name != "pointer.json"} == {
            path: data for path, data in self.files.items() if path.name != "pointer.json"
        }
        pointer = share.read(PurePosixPath("pointer.json"))
        assert pointer is None or len(set(pointer.split())) == 1  # one whole version, never a mixture
        deployments = self.clients().deployments.deployments
        for name, acknowledged in self.deployments.items():
            if deployments.check_existence(GROUP, name):
                until(partial(has_ended, deployments, name))
                assert state_of(deployments, name) == "Succeeded"
            else:
                assert not acknowledged
        url = f"http://{self.app.read().fqdn}/"
        until(lambda: answers(url))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictimCloud]:
    victim = VictimCloud(tmp_path_factory.mktemp("kills"))
    victim.start()
    clients = victim.clients()
    clients.resources.resource_groups.create_or_update(GROUP, {"location": "westeurope"})
    clients.deployments.deployments.begin_create_or_update(GROUP, "setup", setup()).result(PATIENCE_SECONDS)
    yield victim
    victim.stop()


@pytest.mark.timeout(1200)
def test_nothing_acknowledged_is_lost_and_nothing_hangs(
    cloud: VictimCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        sys.stdout.write(f" REMORA_KILL_SEED={SEED} ")
    chance = random.Random(SEED)  # noqa: S311 - a repeatable run, no secret
    activities = (cloud.provision, cloud.upload, cloud.roll_out)
    with ThreadPoolExecutor(1) as pool:
        for number in range(ROUNDS):
            running = pool.submit(chance.choice(activities), number)
            time.sleep(chance.uniform(0, MOST_SECONDS_UNTIL_KILL))
            cloud.kill()
            assert_ends(running)
            cloud.start()
            cloud.check()


def assert_ends(running: Future[None]) -> None:
    """It may succeed or fail, in our words or the SDK's; it may not hang."""
    error = running.exception(timeout=PATIENCE_SECONDS)
    known = isinstance(error, RemoraError) or type(error).__module__.startswith("azure.")
    assert error is None or known, repr(error)


def state_of(deployments: Any, name: str) -> str:
    return str(deployments.get(GROUP, name).as_dict()["properties"]["provisioningState"])


def has_ended(deployments: Any, name: str) -> bool:
    return state_of(deployments, name) in ("Succeeded", "Failed")


def answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def template(resources: list[dict[str, Any]]) -> dict[str, Any]:
    document = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": resources,
    }
    return {"properties": {"mode": "Incremental", "template": document}}


def deployment(number: int) -> dict[str, Any]:
    """Three resources in a row, so that a kill can come between them."""
    names = [f"workspace-{number}-{part}" for part in range(3)]
    kind = "Microsoft.OperationalInsights/workspaces"
    return template(
        [
            {
                "type": kind,
                "apiVersion": "2022-10-01",
                "name": name,
                "location": "westeurope",
                "properties": {},
                "dependsOn": [f"[resourceId('{kind}', '{before}')]" for before in names[:part][-1:]],
            }
            for part, name in enumerate(names)
        ]
    )


def setup() -> dict[str, Any]:
    """An account with a share, an environment, and an app that answers with its round."""
    container = {
        "name": "main",
        "image": "python",
        "command": [sys.executable, "-c", SERVER],
        "env": [{"name": "ROUND", "value": "setup"}],
    }
    app = {
        "environmentId": "[resourceId('Microsoft.App/managedEnvironments', 'environment')]",
        "configuration": {"ingress": {"external": True, "targetPort": 80}},
        "template": {"containers": [container], "scale": {"minReplicas": 1, "maxReplicas": 1}},
    }
    text = json.dumps(
        [
            resource("Microsoft.Storage/storageAccounts", "2023-01-01", ACCOUNT, {}),
            resource(
                "Microsoft.Storage/storageAccounts/fileServices/shares",
                "2023-01-01",
                f"{ACCOUNT}/default/{SHARE}",
                {},
                f"[resourceId('Microsoft.Storage/storageAccounts', '{ACCOUNT}')]",
            ),
            resource("Microsoft.App/managedEnvironments", "2025-07-01", "environment", {}),
            resource(
                "Microsoft.App/containerApps",
                "2025-07-01",
                APP,
                app,
                "[resourceId('Microsoft.App/managedEnvironments', 'environment')]",
            ),
        ]
    )
    resources: list[dict[str, Any]] = json.loads(text)
    resources[0] |= {"sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    return template(resources)


def resource(kind: str, version: str, name: str, properties: dict[str, Any], *needs: str) -> dict[str, Any]:
    return {
        "type": kind,
        "apiVersion": version,
        "name": name,
        "location": "westeurope",
        "properties": properties,
        "dependsOn": list(needs),
    }
