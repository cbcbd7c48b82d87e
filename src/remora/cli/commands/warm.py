"""`remora warm`: wake an endpoint that sleeps, and wait until it answers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from remora.cli.context import open_deployment
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.waking import WAKE_SECONDS, answered

app = typer.Typer(add_completion=False)

TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=1, help="How many seconds the endpoint may take to wake up.")
]


@app.command(epilog="Example: remora warm examples/tone")
@in_project()
def warm(
    folder: FolderArgument = Path(), timeout: TimeoutOption = WAKE_SECONDS, output: OutputOption = Mode.HUMAN
) -> None:
    """Wake the endpoint and wait until it answers, showing what it does. It sleeps again without requests."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    started = time.monotonic()
    with deployment.endpoint() as endpoint:
        models = answered(deployment.app, out, endpoint.models, timeout_seconds=timeout, sent_again_after=0)
    seconds = time.monotonic() - started
    names = [str(item["id"]) for item in models]
    document = {"endpoint": f"{endpoint.url}/v1", "models": names, "seconds": round(seconds, 2)}
    out.result("warm", document, f"{endpoint.url} answers after {seconds:.1f}s with {', '.join(names)}")
