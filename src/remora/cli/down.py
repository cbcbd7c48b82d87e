"""`remora down`: remove what provision created; what is on the share stays unless asked otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from remora.azure.groups import delete_group
from remora.cli.context import FolderArgument, open_deployment
from remora.cli.output import Mode, Output, OutputOption, YesOption

app = typer.Typer(add_completion=False)

PurgeOption = Annotated[
    bool, typer.Option("--purge", help="Delete the whole resource group, with the share and all else in it.")
]


@app.command(epilog="Example: remora down examples/tone --yes")
def down(
    folder: FolderArgument = Path(),
    purge: PurgeOption = False,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Delete the container app, so that nothing runs or costs; models and adapters stay on the share."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    app_name, group = deployment.config.app, deployment.config.resource_group or ""
    what = f"resource group {group!r} and everything in it" if purge else f"container app {app_name!r}"
    out.confirm(f"Delete {what}?", assume_yes=yes)
    with out.step(f"deleting {what}"):
        if purge:
            delete_group(deployment.clients, group)
        else:
            deployment.app.delete()
    document = {"app": app_name, "resource_group": group, "purged": purge}
    out.result("down", document, f"Deleted {what}. Bring it back with: remora up {folder}")
