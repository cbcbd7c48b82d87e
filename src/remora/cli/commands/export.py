"""`remora export`: what is deployed, as Kubernetes manifests or a Compose file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.azure.prices import DEFAULT_SIZES
from remora.cli.context import Deployment, open_deployment
from remora.cli.output.console import Output
from remora.cli.output.next_command import command_line
from remora.cli.price import region_and_profile
from remora.cli.project_folder import FolderArgument, in_project
from remora.rollout.export.compose import compose_file
from remora.rollout.export.kubernetes import kubernetes_list, secret_name
from remora.rollout.export.workload import Workload, workload_of

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Write what is deployed for another platform."
)

StorageOption = Annotated[int, typer.Option("--storage", min=1, help="The size of the claim, in GiB.")]
ShareOption = Annotated[str, typer.Option("--share", help="The folder with a copy of the share's content.")]


@app.command(epilog="Example: remora export kubernetes examples/tone > remora.json")
@in_project()
def kubernetes(folder: FolderArgument = Path(), storage: StorageOption = 100) -> None:
    """Print Kubernetes objects (JSON, for kubectl apply -f): claim, Deployment, Service, autoscaler."""
    out = Output()
    deployment = open_deployment(folder, out)
    workload = _workload(deployment, out)
    _print(kubernetes_list(workload, storage_gib=storage), out)
    secret, names = secret_name(workload), sorted(set(workload.secrets.values()))
    values = " ".join(f"--from-literal={name}=VALUE" for name in names)
    out.note("The keys are not in it; remora secrets shows them. Make the Secret first with:")
    out.note(f"  kubectl create secret generic {secret} {values}")
    _say_where_the_share_is(deployment, workload, f"claim {workload.name}-share", out)
    if workload.hours:
        out.note(f"The scale is {workload.hours}. The hours are not in it: KEDA's cron scaler adds them.")
    if not workload.min_replicas:
        out.note(
            "Kubernetes' own autoscaler keeps one pod; for none without requests, use KEDA's HTTP add-on."
        )


@app.command(epilog="Example: remora export compose examples/tone > compose.json")
@in_project()
def compose(folder: FolderArgument = Path(), share: ShareOption = "./share") -> None:
    """Print a Compose file (JSON, for docker compose -f). Keys come from variables of its environment."""
    out = Output()
    deployment = open_deployment(folder, out)
    workload = _workload(deployment, out)
    _print(compose_file(workload, share=share), out)
    names = ", ".join(workload.secrets)
    out.note(f"Set {names} before you start it; the keys are shown by: {command_line('secrets', folder)}")
    _say_where_the_share_is(deployment, workload, f"folder {share}", out)


def _workload(deployment: Deployment, out: Output) -> Workload:
    app_now = deployment.app
    state = app_now.read()
    _, profile = region_and_profile(app_now, state)
    size = DEFAULT_SIZES.get(profile)
    if deployment.front:
        out.note("The front is not in it: it is for the ingress of Container Apps.")
    return workload_of(app_now.name, state, gpus=size.gpus if size else 0)


def _print(document: dict[str, Any], out: Output) -> None:
    out.line(json.dumps(document, indent=2))


def _say_where_the_share_is(deployment: Deployment, workload: Workload, target: str, out: Output) -> None:
    config = deployment.config
    out.note(
        f"Copy the content of share {config.file_share} of storage account {config.storage_account} to"
        f" {target}: it is mounted at {workload.mount}"
    )
