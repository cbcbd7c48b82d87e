"""A local cloud as a process of its own that a test can kill and start again, and apps in it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from remora.azure.app.apps import ContainerApp
from remora.azure.app.readiness import wait_until_ready
from remora.azure.profile import Clients, load_profile
from remora.azure.provisioning.groups import create_group, list_subscriptions

START_SECONDS = 300
PRINTER = Path(__file__).with_name("printer.py")


class LocalCloud:
    """One home; `start` and `kill` as often as wanted."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def connection(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.home / "cloud" / "connection.json").read_text())
        return document

    def start(self) -> None:
        (self.home / "cloud" / "connection.json").unlink(missing_ok=True)
        command = [sys.executable, "-m", "containerapps_emulator", "--home", str(self.home)]
        process = self._process = subprocess.Popen(command)
        until(lambda: (self.home / "cloud" / "connection.json").exists() or process.poll() is not None)
        assert process.poll() is None

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(START_SECONDS)

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(START_SECONDS) == 0

    def arm_fault(self, name: str) -> None:
        """Let something befall the next operation that it can befall."""
        connection = self.connection
        headers = {"Authorization": f"Bearer {connection['token']}"}
        body = {"name": name, "times": 1}
        answer = httpx.post(f"{connection['arm_url']}/_faults", json=body, headers=headers)
        assert answer.is_success, answer.text

    def clients(self, group: str) -> Clients:
        """Our clients for its one subscription, with a resource group of this name."""
        clients = Clients(load_profile("local", self.home))
        (subscription_id, _), *others = list_subscriptions(clients)
        assert not others
        assert subscription_id == self.connection["subscription_id"]
        clients = clients.for_subscription(subscription_id)
        create_group(clients, group, "westeurope")
        return clients


class Silent:
    """Somebody who waits and wants to be told nothing."""

    def now(self, text: str) -> None:
        pass

    def reason(self, text: str) -> None:
        pass


def printer_app(clients: Clients, group: str, name: str) -> ContainerApp:
    """An app that prints what it is asked to (see printer.py), ready."""
    environment = clients.apps.managed_environments.begin_create_or_update(
        group, "env", {"location": "westeurope", "properties": {}}
    ).result()
    properties = {
        "environmentId": environment.id,
        "configuration": {"ingress": {"external": True, "targetPort": 7860}},
        "template": {
            "containers": [{"name": "main", "image": "printer", "command": ["python3", str(PRINTER)]}],
            "scale": {"minReplicas": 1, "maxReplicas": 1},
        },
    }
    body = {"location": "westeurope", "properties": properties}
    clients.apps.container_apps.begin_create_or_update(group, name, body).result()
    app = ContainerApp(clients, group, name)
    wait_until_ready(app, app.read().latest_revision, timeout_seconds=START_SECONDS, say=Silent())
    return app


def running_revisions(app: ContainerApp) -> list[str]:
    """Names of the active revisions, oldest first.

    Waits for those that end: until their replicas have ended, the cloud shows them as active.
    """
    until(lambda: not any(revision.ending for revision in app.revisions()))
    return [revision.name for revision in app.revisions() if revision.active]


def until(holds: Callable[[], bool], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
