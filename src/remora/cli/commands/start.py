"""`remora start`: start a project's stopped app."""

from __future__ import annotations

from pathlib import Path

import typer

from remora.cli.context import Deployment, open_deployment
from remora.cli.held_app import held_apps
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: remora start examples/tone")
@in_project()
def start(folder: FolderArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Start the project's container app again after `remora stop`."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    name, group = deployment.config.app or "", deployment.config.resource_group or ""
    with held_apps(deployment, command_line("start", folder), out) as held, out.step(f"starting {name}"):
        for each in held:
            each.start()
    document = {"app": name, "resource_group": group, "running": True}
    out.result(
        "start", document, f"Started {name}. See when it answers with: {command_line('status', folder)}"
    )


def start_if_stopped(deployment: Deployment, command: str, out: Output) -> None:
    """Start a stopped app, for a command that needs a serving app."""
    app_now = deployment.app
    if any(each.is_stopped() for each in deployment.apps):
        with (
            held_apps(deployment, command, out) as held,
            out.step(f"starting {app_now.name}, which was stopped"),
        ):
            for each in held:
                each.start()
