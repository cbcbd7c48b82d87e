"""Resources made without our template, through Microsoft's SDK, and a project that only names them."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.azure.local_cloud import LocalCloud
from tests.cli.command import Ran, User

from remora.azure.app.apps import ContainerApp
from remora.azure.profile import Clients
from remora.azure.provisioning.provision import prepare, provision
from remora.cli.commands.deploy import DeployOptions, deploy_project
from remora.cli.output.console import Mode, Output
from remora.rollout.deploy import Deployed
from remora.rollout.revision.restart import Strategy
from remora.rollout.share.part import Part

GROUP, ACCOUNT, SHARE, STORAGE = "by-hand", "byhandfiles", "weights", "files"
LOCATION = "westeurope"
DEPLOY_SECONDS = 200.0

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HandMade:
    """A local cloud with an account, a share and an environment that knows it; apps are made one by one."""

    cloud: LocalCloud
    clients: Clients
    user: User

    @classmethod
    def make(cls, home: Path) -> HandMade:
        cloud = LocalCloud(home)
        cloud.start()
        clients = cloud.clients(GROUP)
        provision(clients, GROUP, prepare(clients, GROUP, share_template(), {}), lambda _: None)
        environments = clients.apps.managed_environments
        environments.begin_create_or_update(GROUP, "env", {"location": LOCATION, "properties": {}}).result()
        made = cls(cloud, clients, User(home))
        made.add_storage(STORAGE, SHARE)
        return made

    @property
    def files(self) -> Path:
        """The share as a container sees it."""
        return self.cloud.home / "cloud" / "shares" / ACCOUNT / SHARE

    def add_storage(self, name: str, share: str) -> None:
        file = {"accountName": ACCOUNT, "accountKey": "key", "shareName": share, "accessMode": "ReadWrite"}
        storages = self.clients.apps.managed_environments_storages
        storages.create_or_update(GROUP, "env", name, {"properties": {"azureFile": file}})

    def app(self, name: str, wanted: AppWish) -> ContainerApp:
        """An app whose first revision never runs: there is nothing on the share yet that it could run."""
        self.cloud.arm_fault("stuck_replica")
        environment = self.clients.apps.managed_environments.get(GROUP, "env").id
        properties = {"environmentId": environment, **wanted.properties()}
        apps = self.clients.apps.container_apps
        apps.begin_create_or_update(GROUP, name, {"location": LOCATION, "properties": properties}).result()
        return ContainerApp(self.clients, GROUP, name)

    def project(self, root: Path, app: str, **other: str) -> Path:
        """A folder with nothing of ours but the names."""
        names = {
            "SUBSCRIPTION_ID": self.clients.subscription_id,
            "RESOURCE_GROUP_NAME": GROUP,
            "STORAGE_ACCOUNT_NAME": ACCOUNT,
            "FILE_SHARE_NAME": SHARE,
            "ACA_APP_NAME": app,
            "ACA_APP_ENDPOINT": None,
        }
        path = root / "infra" / "inference.config.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**names, **other}))
        return root

    def run(self, command: str, root: Path, *options: str) -> Ran:
        return self.user.run(command, str(root), *options)

    def deploy(
        self, root: Path, *, strategy: Strategy = Strategy.REVISION, part: Part = Part.EVERYTHING
    ) -> Deployed:
        """As `remora deploy` does, in this process. Raises what the command reports."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("REMORA_HOME", str(self.cloud.home))
            return deploy_project(root, Output(Mode.JSON), DeployOptions(DEPLOY_SECONDS, strategy, part))

    def ok(self, command: str, root: Path, *options: str) -> Json:
        ran = self.run(command, root, *options)
        assert ran.code == 0, (ran.document, ran.stderr)
        return ran.document


@dataclass(frozen=True, slots=True)
class AppWish:
    """An app as somebody would write it; the fields are what people do differently."""

    commands: tuple[str, ...]
    port: int = 7860
    mount: str | None = "/mount"
    storage: str = STORAGE
    sub_path: str | None = None
    mode: str = "Single"
    ingress: bool = True
    container: str = "main"
    key: str | None = None
    key_secret: str = "remora-api-key"
    traffic: list[Json] = field(default_factory=list)

    def properties(self) -> Json:
        ingress = {"external": True, "targetPort": self.port, "traffic": self.traffic or None}
        secrets = [{"name": self.key_secret, "value": self.key}] if self.key else []
        configuration = {
            "activeRevisionsMode": self.mode,
            "ingress": ingress if self.ingress else None,
            "secrets": secrets,
        }
        mounts = [{"volumeName": "v", "mountPath": self.mount, "subPath": self.sub_path}]
        container = {
            "name": self.container,
            "image": "docker.io/pytorch/pytorch",
            "command": ["/bin/bash", "-c", "; ".join(self.commands)],
            "env": [{"name": "REMORA_API_KEY", "secretRef": self.key_secret}] if self.key else [],
            "volumeMounts": mounts if self.mount else [],
        }
        volumes = [{"name": "v", "storageType": "AzureFile", "storageName": self.storage}]
        return {
            "configuration": configuration,
            "template": {
                "containers": [container],
                "volumes": volumes if self.mount else [],
                "scale": {"minReplicas": 1, "maxReplicas": 1},
            },
        }


def share_template() -> Json:
    account = "[resourceId('Microsoft.Storage/storageAccounts', 'byhandfiles')]"
    return {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [
            {
                "type": "Microsoft.Storage/storageAccounts",
                "apiVersion": "2023-01-01",
                "name": ACCOUNT,
                "location": LOCATION,
                "sku": {"name": "Standard_LRS"},
                "kind": "StorageV2",
                "properties": {},
            },
            *(
                {
                    "type": "Microsoft.Storage/storageAccounts/fileServices/shares",
                    "apiVersion": "2023-01-01",
                    "name": f"{ACCOUNT}/default/{name}",
                    "dependsOn": [account],
                }
                for name in (SHARE, "others")
            ),
        ],
    }


def free_port() -> int:
    """For programs that have their port written into them: no fixed one, since machines are shared."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
