"""`remora secrets`: the endpoint's API key, fetched from the cloud that keeps it."""

from __future__ import annotations

from pathlib import Path

import typer

from remora.azure.apps import API_KEY_SECRET
from remora.cli.context import FolderArgument, open_deployment
from remora.cli.output import Mode, Output, OutputOption
from remora.errors import DeploymentNotFound

app = typer.Typer(add_completion=False)


@app.command(epilog='Example: export OPENAI_API_KEY="$(remora secrets examples/tone)"')
def secrets(folder: FolderArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Print the endpoint's API key."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    key = deployment.app.secrets().get(API_KEY_SECRET)
    if not key:
        raise DeploymentNotFound(
            f"container app {deployment.app.name!r} has no secret {API_KEY_SECRET!r}",
            hint=f"run: remora provision {folder}",
        )
    out.result("secrets", {"api_key": key}, key, summary=False)
