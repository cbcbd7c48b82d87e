"""`remora up`: from a folder to an answering endpoint; safe to run again."""

from __future__ import annotations

from pathlib import Path

import typer

from remora.cli.context import FolderArgument
from remora.cli.deploy import TIMEOUT_SECONDS, TimeoutOption, deploy_project, show_deployed
from remora.cli.init import init_project
from remora.cli.output import Mode, Output, OutputOption, YesOption
from remora.cli.provision import provision_project
from remora.cli.target import TEMPLATE_FILE, GroupOption, LocationOption, SubscriptionOption, Wishes

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: remora up examples/tone")
def up(
    folder: FolderArgument = Path(),
    subscription: SubscriptionOption = None,
    resource_group: GroupOption = None,
    location: LocationOption = None,
    timeout: TimeoutOption = TIMEOUT_SECONDS,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Do it all: find, provision, deploy, check. What is already so stays untouched."""
    out = Output(output, assume_yes=yes)
    if not (folder / TEMPLATE_FILE).exists():
        with out.step("looking through the folder") as say:
            found = init_project(folder, force=False)
            say(f"found {len(found.adapters)} adapters and wrote infra/")
    provision_project(folder, Wishes(subscription, resource_group, location), out)
    deployed = deploy_project(folder, out, timeout_seconds=timeout)
    show_deployed(folder, deployed, out)
