"""What most commands start with: the project in a folder, a connection to its cloud, its deployment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remora.azure.app.apps import ContainerApp
from remora.azure.profile import Clients, load_profile, remora_home
from remora.azure.share.files import Share
from remora.cli.commands.cloud import ensure_running, running
from remora.cli.models.base_option import read_settings
from remora.cli.output.console import Output
from remora.errors import CloudUnavailable, DeploymentNotFound, NotOffered, listed
from remora.project.settings import SETTINGS_FILE, Settings
from remora.project.toolkit.commands import Program
from remora.project.toolkit.config import (
    INFERENCE_FILE,
    INFERENCE_KEYS,
    InferenceConfig,
    load_inference_config,
)
from remora.rollout.endpoint import Endpoint
from remora.rollout.program.endpoint import ProgramEndpoint
from remora.rollout.program.payload import program_name
from remora.rollout.revision.app_shape import read_shape


@dataclass(frozen=True, slots=True)
class Deployment:
    """A project's deployment, as `infra/inference.config.json` names it."""

    settings: Settings
    config: InferenceConfig
    clients: Clients

    @property
    def app(self) -> ContainerApp:
        return ContainerApp(self.clients, self.config.resource_group or "", self.config.app or "")

    @property
    def share(self) -> Share:
        group, account = self.config.resource_group or "", self.config.storage_account or ""
        name, access = self.config.file_share or "", self.settings.share_access
        return Share(self.clients, group, account, name, access=access)

    @property
    def front(self) -> ContainerApp | None:
        """The app before the model's, if there is one."""
        return ContainerApp(self.clients, self.app.group, self.config.front) if self.config.front else None

    @property
    def apps(self) -> tuple[ContainerApp, ...]:
        """All apps of the endpoint, the model's first."""
        return (self.app, self.front) if self.front else (self.app,)

    def url(self) -> str:
        """The endpoint's URL as the cloud knows it now: that of the front, if there is one."""
        return f"{self.clients.profile.endpoint_scheme}://{(self.front or self.app).read().fqdn}"

    def endpoint(self) -> Endpoint:
        """A client of the endpoint, with its key; of AI Toolkit's program where that runs."""
        shape = read_shape(self.app)
        if shape.program is Program.STOCK:
            return ProgramEndpoint(self.url(), program_name(shape))
        return Endpoint(self.url(), self.app.api_key())

    def api_endpoint(self, why: str) -> Endpoint:
        """The same if it has OpenAI's API. Raises NotOffered for AI Toolkit's program, which `why`."""
        endpoint = self.endpoint()
        if isinstance(endpoint, ProgramEndpoint):
            raise NotOffered(
                f"container app {self.app.name!r} runs AI Toolkit's program, which {why}",
                hint="switch it to Remora's: remora import --write",
            )
        return endpoint


def connect(settings: Settings, out: Output, subscription_id: str = "", *, start: bool = True) -> Clients:
    """Clients of the project's cloud. Starts a local cloud that is not running.

    Raises CloudUnavailable if it is not running and `start` is false.
    """
    home = remora_home()
    if settings.cloud == "local" and start:
        ensure_running(home, out)
    elif settings.cloud == "local" and running(home) is None:
        raise CloudUnavailable("the local cloud is not running", hint="run: remora cloud start")
    return Clients(load_profile(settings.cloud, home), subscription_id, say=out.note)


def open_deployment(folder: Path, out: Output, *, start: bool = True) -> Deployment:
    """The project's deployment. Raises DeploymentNotFound if nothing has been provisioned yet."""
    settings = read_settings(folder)
    config = load_inference_config(folder)
    if config.missing:
        _check_project(folder, config)
        raise DeploymentNotFound(
            f"{folder / INFERENCE_FILE} has no value for {listed(config.missing)}",
            hint="run: remora up, or fill in the values by hand",
        )
    return Deployment(settings, config, connect(settings, out, config.subscription_id or "", start=start))


def _check_project(folder: Path, config: InferenceConfig) -> None:
    """Raises if the folder is not a project, or if nothing has been deployed from it."""
    if not folder.is_dir():
        raise DeploymentNotFound(f"{folder} is not a folder", hint="name the folder of your project")
    if not any((folder / known).exists() for known in (SETTINGS_FILE, INFERENCE_FILE.parent)):
        raise DeploymentNotFound(
            f"{folder.absolute()} is not a project: it has no {SETTINGS_FILE} or {INFERENCE_FILE.parent}/",
            hint="name your project's folder, after the command or with -C",
        )
    if len(config.missing) == len(INFERENCE_KEYS) - 1:
        raise DeploymentNotFound(
            f"nothing has been deployed from {folder.absolute()} yet", hint="run: remora up"
        )
