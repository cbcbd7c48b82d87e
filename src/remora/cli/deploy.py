"""`remora deploy`: sync what changed, roll out a new revision, wait for a real answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from remora.adapters.hash_cache import HashCache
from remora.adapters.model_set import ModelSet, models_of_project
from remora.azure.profile import remora_home
from remora.cli.context import Deployment, FolderArgument, open_deployment
from remora.cli.output import Mode, Output, OutputOption
from remora.cli.panel import deployed_document, deployed_panel
from remora.project.config import save_inference_config
from remora.rollout.contents import Contents, release_contents
from remora.rollout.golden import read_golden
from remora.rollout.release import Deployed, Scale, roll_out

app = typer.Typer(add_completion=False)

TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=1, help="Seconds until a new revision must answer.")
]
TIMEOUT_SECONDS = 1200.0


@app.command(epilog="Example: remora deploy examples/tone")
def deploy(
    folder: FolderArgument = Path(),
    timeout: TimeoutOption = TIMEOUT_SECONDS,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Sync what changed to the share, roll out a new revision, and check that it answers."""
    out = Output(output)
    deployed = deploy_project(folder, out, timeout_seconds=timeout)
    show_deployed(folder, deployed, out)


def deploy_project(folder: Path, out: Output, *, timeout_seconds: float) -> Deployed:
    """Deploy the project in a folder; what is already so stays untouched."""
    deployment = open_deployment(folder, out)
    with out.step("reading the project") as say:
        models, contents = _read_project(deployment)
        say(f"{len(models.adapters)} adapters on {models.base_name}")
    scale = deployment.settings.scale
    deployed = roll_out(
        contents,
        models.base_name,
        read_golden(folder),
        app=deployment.app,
        share=deployment.share,
        scale=Scale(scale.min_replicas, scale.max_replicas),
        endpoint_scheme=deployment.clients.profile.endpoint_scheme,
        timeout_seconds=timeout_seconds,
        steps=out.step,
    )
    _remember_endpoint(folder, deployment, deployed.url)
    return deployed


def show_deployed(folder: Path, deployed: Deployed, out: Output) -> None:
    """Print the final panel."""
    document = deployed_document(folder.resolve().name, str(folder), deployed)
    out.result("deploy", document, deployed_panel(document))


def _read_project(deployment: Deployment) -> tuple[ModelSet, Contents]:
    models = models_of_project(deployment.settings)
    hashes = HashCache(remora_home() / "hashes.json")
    contents = release_contents(models, deployment.settings, hashes)
    hashes.save()
    return models, contents


def _remember_endpoint(folder: Path, deployment: Deployment, url: str) -> None:
    """Keep the file true: it may have been filled in by hand, or the endpoint may have moved."""
    parts = urlsplit(url)
    known = replace(deployment.config, endpoint=parts.netloc, endpoint_scheme=parts.scheme)
    if known != deployment.config:
        save_inference_config(folder, known)
