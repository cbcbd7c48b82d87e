"""`remora deploy`: sync what changed, roll out a new revision, wait for a real answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from remora.adapters.hash_cache import HashCache
from remora.adapters.model_set import ModelSet, models_of_project
from remora.azure.profile import remora_home
from remora.cli.context import Deployment, FolderArgument, open_deployment
from remora.cli.deploy_program import program_rollout, reachable
from remora.cli.output import Mode, Output, OutputOption
from remora.cli.panel import deployed_document, deployed_panel
from remora.errors import Interrupted
from remora.project.config import save_inference_config
from remora.project.settings import Settings
from remora.rollout.app_shape import AppShape, check_remora
from remora.rollout.candidate import Scale, look
from remora.rollout.contents import Contents, release_contents
from remora.rollout.gates import Gates
from remora.rollout.golden import Golden, read_golden
from remora.rollout.lock import locked
from remora.rollout.part import Part, narrowed, part_of
from remora.rollout.release import Deployed, Rollout
from remora.rollout.restart import Strategy

app = typer.Typer(add_completion=False)

TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=1, help="Seconds until a new revision must answer.")
]
StrategyOption = Annotated[
    Strategy,
    typer.Option(
        "--strategy",
        help="A new revision beside the old one, or a restart of the replicas in place, as AI Toolkit does.",
    ),
]
CodeOnlyOption = Annotated[
    bool, typer.Option("--code-only", help="Deploy code and settings; the adapters stay as they are.")
]
AdaptersOnlyOption = Annotated[
    bool, typer.Option("--adapters-only", help="Deploy the adapters; code and settings stay as they are.")
]
TIMEOUT_SECONDS = 1200.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What of the project is to be deployed, and how."""

    strategy: Strategy
    part: Part
    timeout_seconds: float


@app.command(epilog="Example: remora deploy examples/tone --adapters-only --strategy restart")
def deploy(
    folder: FolderArgument = Path(),
    strategy: StrategyOption = Strategy.REVISION,
    code_only: CodeOnlyOption = False,
    adapters_only: AdaptersOnlyOption = False,
    timeout: TimeoutOption = TIMEOUT_SECONDS,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Sync what changed, check a new revision by the golden prompts, and give it the traffic."""
    out = Output(output)
    part = part_of(code_only=code_only, adapters_only=adapters_only)
    deployed = deploy_project(folder, out, timeout_seconds=timeout, strategy=strategy, part=part)
    show_deployed(folder, deployed, out)


def deploy_project(
    folder: Path,
    out: Output,
    *,
    timeout_seconds: float,
    strategy: Strategy = Strategy.REVISION,
    part: Part = Part.EVERYTHING,
) -> Deployed:
    """Deploy the project in a folder, or a part of it; what is already so stays untouched."""
    deployment = open_deployment(folder, out)
    shape, mount = reachable(deployment)
    wish = Wish(strategy, part, timeout_seconds)
    try:
        if shape.runs_workspace(folder, mount):
            deployed = _deploy_program(folder, deployment, shape, mount, wish, out)
        else:
            check_remora(shape, mount)
            deployed = _deploy_release(folder, deployment, wish, out)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted; what served before serves on, and files that were uploaded stay for the next time",
            hint=f"begin anew with: remora deploy {folder}",
        ) from None
    _remember_endpoint(folder, deployment, deployed.url)
    return deployed


def _deploy_release(folder: Path, deployment: Deployment, wish: Wish, out: Output) -> Deployed:
    with out.step("reading the project") as say:
        models, contents = read_project(deployment.settings)
        say(f"{len(models.adapters)} adapters on {models.base_name}")
    golden = read_golden(folder)
    with locked(deployment.share, f"remora deploy {folder}") as lock:
        if wish.part is not Part.EVERYTHING:
            contents = narrowed(contents, wish.part, look(deployment.app), deployment.share)
        return rollout_of(deployment, contents).run(
            _gates(deployment, models.base_name, contents, golden, wish.timeout_seconds, out),
            lock,
            timeout_seconds=wish.timeout_seconds,
            steps=out.step,
            strategy=wish.strategy,
        )


def _deploy_program(
    folder: Path, deployment: Deployment, shape: AppShape, mount: str, wish: Wish, out: Output
) -> Deployed:
    rollout = program_rollout(
        folder, deployment, shape, mount, wish.part, out, timeout_seconds=wish.timeout_seconds
    )
    with locked(deployment.share, f"remora deploy {folder}") as lock:
        return rollout.run(lock, wish.strategy)


def rollout_of(deployment: Deployment, contents: Contents) -> Rollout:
    """The rollout of these contents to the project's app and share."""
    scale = deployment.settings.scale
    return Rollout(
        contents,
        app=deployment.app,
        share=deployment.share,
        scale=Scale(scale.min_replicas, scale.max_replicas),
    )


def show_deployed(folder: Path, deployed: Deployed, out: Output) -> None:
    """Print the final panel."""
    document = deployed_document(folder.resolve().name, str(folder), deployed)
    out.result("deploy", document, deployed_panel(document))


def read_project(settings: Settings) -> tuple[ModelSet, Contents]:
    """The project's models, and what they are as a release."""
    models = models_of_project(settings)
    hashes = HashCache(remora_home() / "hashes.json")
    contents = release_contents(models, settings, hashes)
    hashes.save()
    return models, contents


def _gates(
    deployment: Deployment,
    base_name: str,
    contents: Contents,
    golden: Golden,
    timeout_seconds: float,
    out: Output,
) -> Gates:
    return Gates(
        deployment.app,
        base_name,
        contents.aliases,
        golden,
        endpoint_scheme=deployment.clients.profile.endpoint_scheme,
        timeout_seconds=timeout_seconds,
        steps=out.step,
    )


def _remember_endpoint(folder: Path, deployment: Deployment, url: str) -> None:
    """Keep the file true: it may have been filled in by hand, or the endpoint may have moved."""
    parts = urlsplit(url)
    known = replace(deployment.config, endpoint=parts.netloc, endpoint_scheme=parts.scheme)
    if known != deployment.config:
        save_inference_config(folder, known)
