"""`remora rollback`: the release that served before, or one by name, serves again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from remora.cli.context import open_deployment
from remora.cli.deploy import TIMEOUT_SECONDS, TimeoutOption
from remora.cli.output import Mode, Output, OutputOption
from remora.rollout.lock import locked
from remora.rollout.rollback import roll_back

app = typer.Typer(add_completion=False)

ReleaseArgument = Annotated[
    str | None, typer.Argument(help="The release's id, see: remora history.", show_default="the former one")
]
FolderOption = Annotated[
    Path, typer.Option("--folder", "-C", help="The project's folder.", show_default="this folder")
]


@app.command(epilog="Example: remora rollback --folder examples/tone")
def rollback(
    release: ReleaseArgument = None,
    folder: FolderOption = Path(),
    timeout: TimeoutOption = TIMEOUT_SECONDS,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Give the traffic back to a former release; the adapters stay (see: remora adapters rollback)."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    share = deployment.share
    with locked(share, f"remora rollback {folder}") as lock:
        done = roll_back(deployment.app, share, lock, release, timeout_seconds=timeout, steps=out.step)
    out.result(
        "rollback",
        asdict(done),
        f"Release {done.release} serves, by {done.revision}; before: {done.former_release}",
    )
