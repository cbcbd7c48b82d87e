"""`remora rollback`: switch the traffic back to the previous release, or to a named one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from remora.cli.commands.deploy import TIMEOUT_SECONDS, TimeoutOption
from remora.cli.context import open_deployment
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.rollout.rollback import roll_back
from remora.rollout.share.lock import locked

app = typer.Typer(add_completion=False)

ReleaseOption = Annotated[
    str | None, typer.Option(help="The release's id, see: remora history.", show_default="the previous one")
]


@app.command(epilog="Example: remora rollback examples/tone --yes")
@in_project(formerly="release")
def rollback(
    folder: FolderArgument = Path(),
    release: ReleaseOption = None,
    timeout: TimeoutOption = TIMEOUT_SECONDS,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Switch the traffic back to an earlier release; the adapters stay (see: remora adapters rollback)."""
    out = Output(output, assume_yes=yes)
    deployment = open_deployment(folder, out)
    with locked(deployment.share, command_line("rollback", folder)) as lock:
        done = roll_back(deployment.app, lock, release, timeout_seconds=timeout, steps=out.step)
    out.result(
        "rollback",
        asdict(done),
        f"Release {done.release} serves, in revision {done.revision}; before: {done.former_release}",
    )
