"""What most commands need first: the project in a folder, a connection to its cloud, its deployment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.apps import ContainerApp
from remora.azure.files import Share
from remora.azure.profile import Clients, load_profile, remora_home
from remora.cli.cloud import ensure_running, running
from remora.cli.output import Output
from remora.errors import CloudUnavailable, DeploymentNotFound
from remora.project.commands import Program
from remora.project.config import INFERENCE_FILE, InferenceConfig, load_inference_config
from remora.project.settings import Settings, load_settings
from remora.rollout.app_shape import read_shape
from remora.rollout.endpoint import Endpoint
from remora.rollout.program import program_name
from remora.rollout.program_endpoint import ProgramEndpoint

FolderArgument = Annotated[Path, typer.Argument(help="The project's folder.", show_default="this folder")]


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where a project's endpoint lives, as `infra/inference.config.json` says."""

    settings: Settings
    config: InferenceConfig
    clients: Clients

    @property
    def app(self) -> ContainerApp:
        return ContainerApp(self.clients, self.config.resource_group or "", self.config.app or "")

    @property
    def share(self) -> Share:
        group, account = self.config.resource_group or "", self.config.storage_account or ""
        return Share(self.clients, group, account, self.config.file_share or "")

    def url(self) -> str:
        """The endpoint's URL as the cloud knows it now."""
        return f"{self.clients.profile.endpoint_scheme}://{self.app.read().fqdn}"

    def endpoint(self) -> Endpoint:
        """A client of the endpoint, with its key; of AI Toolkit's program where that runs."""
        shape = read_shape(self.app)
        if shape.program is Program.STOCK:
            return ProgramEndpoint(self.url(), program_name(shape))
        return Endpoint(self.url(), self.app.api_key())


def read_settings(folder: Path) -> Settings:
    """The settings of a project folder and the environment."""
    return load_settings(folder, os.environ)


def connect(settings: Settings, out: Output, subscription_id: str = "", *, start: bool = True) -> Clients:
    """Clients of the project's cloud; a local cloud that is not running is started.

    Raises CloudUnavailable where it is not running and must not be started.
    """
    home = remora_home()
    if settings.cloud == "local" and start:
        ensure_running(home, out)
    elif settings.cloud == "local" and running(home) is None:
        raise CloudUnavailable("the local cloud is not running", hint="run: remora cloud start")
    return Clients(load_profile(settings.cloud, home), subscription_id)


def open_deployment(folder: Path, out: Output, *, start: bool = True) -> Deployment:
    """The project's deployment. Raises DeploymentNotFound where nothing was provisioned yet."""
    settings = read_settings(folder)
    config = load_inference_config(folder)
    if config.missing:
        raise DeploymentNotFound(
            f"{folder / INFERENCE_FILE} does not say {', '.join(config.missing)}",
            hint=f"run: remora provision {folder}, or fill the names in by hand",
        )
    return Deployment(settings, config, connect(settings, out, config.subscription_id or "", start=start))
