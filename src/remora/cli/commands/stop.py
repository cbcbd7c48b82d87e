"""`remora stop`: stop one project's app, without removing it."""

from __future__ import annotations

from pathlib import Path

import typer

from remora.cli.context import open_deployment
from remora.cli.held_app import held_apps
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: remora stop examples/tone")
@in_project()
def stop(folder: FolderArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Stop the project's container app: nothing runs or costs money; revisions, share and address stay.

    It is refused while another command, such as a deploy, changes the endpoint.
    """
    out = Output(output)
    deployment = open_deployment(folder, out)
    name, group = deployment.config.app or "", deployment.config.resource_group or ""
    with held_apps(deployment, command_line("stop", folder), out) as held, out.step(f"stopping {name}"):
        for each in held:
            each.stop()
    document = {"app": name, "resource_group": group, "running": False}
    out.result("stop", document, f"Stopped {name}. Start it again with: {command_line('start', folder)}")
