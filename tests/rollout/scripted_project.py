"""A project whose replicas are a script that starts at once, deployed to a local cloud.

What is real: the commands, the cloud, the share, revisions, traffic, the lock. What is not: the model.
"""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tests.azure.local_cloud import running_revisions
from tests.cli.command import User
from tests.cli.trained_folder import make_adapter, make_base
from tests.project.settings_file import update_settings
from tests.rollout.asking import Asked, asking

from remora.azure.app.apps import API_KEY_SECRET, ContainerApp
from remora.azure.app.state import Revision
from remora.azure.profile import Clients, load_profile
from remora.cli.commands.init import init_project
from remora.project.toolkit.config import load_inference_config
from remora.rollout.revision.candidate import RELEASE_VARIABLE

REPLICA = Path(__file__).parents[1] / "cli" / "replica.py"
GOLDEN = '[[prompt]]\nmodel = "tone"\nuser = "hi"\nanswer = "hello"\n'


@dataclass(frozen=True, slots=True)
class ScriptedProject:
    root: Path
    user: User

    def change_settings(self, queued: int) -> None:
        """Another release."""
        update_settings(self.root, {"serve.max_queued_requests": queued})

    def change_adapter(self) -> None:
        weights = self.root / "adapters" / "tone" / "adapter_model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-2] ^= 1
        weights.write_bytes(data)

    def deploy(self) -> dict[str, Any]:
        ran = self.user.run("deploy", str(self.root))
        assert ran.code == 0, (ran.document, ran.stderr)
        return ran.document

    def start_deploy(self) -> subprocess.Popen[str]:
        return self.user.start("deploy", str(self.root))

    def history(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.user.run("history", str(self.root)).document["events"]
        return events

    def app(self) -> ContainerApp:
        config = load_inference_config(self.root)
        clients = Clients(load_profile("local", self.user.home), config.subscription_id or "")
        return ContainerApp(clients, config.resource_group or "", config.app or "")

    def set_single_mode(self) -> None:
        """As apps are that somebody else's template has made."""
        app, config = self.app(), load_inference_config(self.root)
        clients = Clients(load_profile("local", self.user.home), config.subscription_id or "")
        body = {"properties": {"configuration": {"activeRevisionsMode": "Single"}}}
        clients.apps.container_apps.begin_update(app.group, app.name, body).result()

    def serving(self) -> Revision:
        app = self.app()
        return app.revision(app.read().serving_revision)

    def running(self) -> list[str]:
        """Names of the active revisions, oldest first."""
        return running_revisions(self.app())

    @property
    def share(self) -> Path:
        config = load_inference_config(self.root)
        shares = self.user.home / "cloud" / "shares"
        return shares / (config.storage_account or "") / (config.file_share or "") / ".remora"

    def aliases(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.share / "aliases.json").read_text())
        return document

    def fault(self, name: str, **how: float) -> None:
        connection = json.loads((self.user.home / "cloud" / "connection.json").read_text())
        headers = {"Authorization": f"Bearer {connection['token']}"}
        answer = httpx.post(f"{connection['arm_url']}/_faults", json={"name": name, **how}, headers=headers)
        assert answer.is_success, answer.text


def make_scripted_project(folder: Path, **given: object) -> ScriptedProject:
    """Provisioned with these parameters and deployed once. Whoever makes it ends it: `remora cloud stop`."""
    project = provision_scripted_project(folder, **given)
    project.deploy()
    return project


def provision_scripted_project(folder: Path, **given: object) -> ScriptedProject:
    """Provisioned with these parameters, and not deployed yet."""
    root = folder / "tone"
    make_base(root)
    make_adapter(root, "tone")
    init_project(root, force=False)
    (root / "golden.toml").write_text(GOLDEN)
    parameters = root / "infra" / "provision" / "inference.parameters.json"
    document = json.loads(parameters.read_text())
    document["parameters"]["defaultCommands"]["value"] = [f"exec python3 {REPLICA} /mount"]
    document["parameters"] |= {name: {"value": value} for name, value in given.items()}
    parameters.write_text(json.dumps(document))
    project = ScriptedProject(root, User(folder / "home"))
    assert project.user.run("provision", str(root), "--yes").code == 0
    return project


def asking_about(project: ScriptedProject) -> AbstractContextManager[Asked]:
    """`asking` of a project's endpoint."""
    app = project.app()
    return asking(f"http://{app.read().fqdn}", app.secrets()[API_KEY_SECRET], "hi")


def release_of(revision: Revision) -> str:
    return revision.environment[RELEASE_VARIABLE]


ROUNDS = int(os.environ.get("REMORA_KILL_ROUNDS", "4"))
