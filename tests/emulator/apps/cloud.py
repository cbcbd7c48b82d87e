"""Drives the Container Apps service as ARM does, without ARM; and the templates that its tests deploy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from containerapps_emulator.apps.clock import Clock, SystemClock
from containerapps_emulator.apps.host import Limits
from containerapps_emulator.apps.service import AppsService
from containerapps_emulator.arm.resources.resource import ResourceHandler, ResourceId, VirtualHandler
from containerapps_emulator.state import Json, State

SUBSCRIPTION = "00000000-0000-0000-0000-00000000c10d"
WEB = Path(__file__).with_name("web.py")
ARM_URL = "http://127.0.0.1:9"
DEADLINE_SECONDS = 300


# A hundred times as fast, some of Azure's limits are too short for a busy machine. A test of one sets it.
PATIENT = Limits(open_seconds=1_000_000, back_off_reset_seconds=1_000_000_000)
FASTER = 100


class FastClock(SystemClock):
    """Time passes a hundred times as fast, but for what a program does."""

    def monotonic(self) -> float:
        return super().monotonic() * FASTER

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / FASTER)


class Cloud:
    """One control plane over a folder; a second one over the same folder is its restart."""

    def __init__(
        self,
        folder: Path,
        *,
        limits: Limits | None = None,
        namespaces: bool = True,
        quotas: dict[str, int] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.folder = folder
        self.state = State(folder / "state.sqlite3")
        self.documents: dict[str, Json] = {}
        self.service = AppsService(
            self.state,
            folder,
            folder / "shares",
            arm_url=lambda: ARM_URL,
            own_url=lambda: ARM_URL,
            issue=lambda audience, *_: {"resource": audience},
            clock=clock or FastClock(),
            limits=limits or PATIENT,
            namespaces=namespaces,
            quotas=quotas,
        )
        self.environment = resource("managedEnvironments", "env")
        self.app = resource("containerApps", "web")

    async def provision(self) -> None:
        """The share `data` of account `account`, its environment and its storage `files`."""
        (self.folder / "shares" / "account" / "data").mkdir(parents=True)
        await self.put(self.environment, {"location": "westus3", "properties": {}})
        file = {
            "accountName": "account",
            "accountKey": "key==",
            "shareName": "data",
            "accessMode": "ReadWrite",
        }
        storage = self.environment.child("storages", "files")
        await self.put(storage, {"properties": {"azureFile": file}})

    async def put(self, resource_id: ResourceId, body: Json) -> Json:
        handler = self.handler(resource_id.type)
        stored = handler.accept(resource_id, body, self.documents.get(resource_id.key))
        self.documents[resource_id.key] = stored
        self.documents[resource_id.key] = await handler.complete(resource_id, stored)
        return self.show(resource_id)

    async def deploy(
        self, *, configuration: Json | None = None, profile: str | None = None, **template: Any
    ) -> Json:
        properties = {
            "environmentId": str(self.environment),
            "workloadProfileName": profile,
            "configuration": {"ingress": {"external": True, "targetPort": 7860}, **(configuration or {})},
            "template": web_template(**template),
        }
        return await self.put(self.app, {"location": "westus3", "properties": properties})

    def show(self, resource_id: ResourceId) -> Json:
        return self.handler(resource_id.type).show(resource_id, self.documents[resource_id.key])

    async def ask(self, action: str) -> Any:
        return await self.handler(self.app.type).action(self.app, self.documents[self.app.key], action, {})

    async def ask_revision(self, revision: str, action: str) -> Any:
        return await self.virtual("containerApps/revisions").action(
            self.app.child("revisions", revision), action, {}
        )

    def revisions(self) -> list[Json]:
        return self.virtual("containerApps/revisions").list(self.app)

    def revision(self, name: str) -> Json:
        document = self.virtual("containerApps/revisions").get(self.app.child("revisions", name))
        assert document is not None
        properties: Json = document["properties"]
        return properties

    def region_usages(self, location: str) -> list[Json]:
        return self.service.quotas.usages(location)

    def replicas(self, revision: str) -> list[Json]:
        return self.virtual("containerApps/revisions/replicas").list(self.app.child("revisions", revision))

    @property
    def home(self) -> Path:
        """The app's HOME, which a container sees at the same path."""
        home = self.folder / "apps" / "group" / "web" / "home"
        home.mkdir(parents=True, exist_ok=True)
        return home

    @property
    def properties(self) -> Json:
        properties: Json = self.show(self.app)["properties"]
        return properties

    @property
    def latest(self) -> str:
        return str(self.properties["latestRevisionName"])

    @property
    def url(self) -> str:
        return f"http://{self.properties['configuration']['ingress']['fqdn']}"

    async def until_ready(self) -> None:
        await until(lambda: self.properties["latestReadyRevisionName"] == self.latest)

    async def get(self, path: str = "/") -> Any:
        async with httpx.AsyncClient(base_url=self.url, timeout=DEADLINE_SECONDS) as client:
            answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def events(self) -> str:
        return (self.folder / "logs" / "group" / "web" / "system.log").read_text()

    def console(self, revision: str) -> str:
        """What the replicas of a revision have printed so far."""
        logs = (self.folder / "logs" / "group" / "web").glob(f"{revision}-*.log")
        return "".join(log.read_text() for log in logs)

    def handler(self, kind: str) -> ResourceHandler:
        return next(handler for handler in self.service.handlers if handler.type == kind)

    def virtual(self, kind: str) -> VirtualHandler:
        full = f"Microsoft.App/{kind}"
        return next(handler for handler in self.service.virtual_handlers if handler.type == full)


def is_dead(pid: int) -> bool:
    """Gone, or dead and only waiting for a parent to look."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def resource(kind: str, name: str) -> ResourceId:
    return ResourceId(SUBSCRIPTION, "group", f"Microsoft.App/{kind}", (name,))


def web_template(
    *,
    command: list[str] | None = None,
    env: dict[str, str] | None = None,
    variables: list[Json] | None = None,
    probes: list[Json] | None = None,
    replicas: int = 1,
    mount: str | None = None,
    suffix: str | None = None,
    resources: Json | None = None,
    **extra: Any,
) -> Json:
    """A container that runs web.py; `env` by name and value, `variables` as Azure spells them."""
    container = {
        "name": "main",
        "image": "docker.io/library/none",
        "command": command or ["/bin/bash", "-c", f"exec python3 {WEB}"],
        "env": [{"name": name, "value": value} for name, value in (env or {}).items()] + (variables or []),
        "probes": probes,
        "resources": resources,
        "volumeMounts": [{"volumeName": "share", "mountPath": mount}] if mount else None,
    }
    volumes = [{"name": "share", "storageType": "AzureFile", "storageName": "files"}] if mount else None
    scale = {"minReplicas": replicas, "maxReplicas": 10}
    return {"containers": [container], "scale": scale, "volumes": volumes, "revisionSuffix": suffix, **extra}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)
