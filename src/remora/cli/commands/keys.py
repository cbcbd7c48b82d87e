"""`remora keys`: list, show, add and remove named API keys. Stores no keys: the cloud does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from remora.azure.app.keys import AppKeys
from remora.cli.context import open_deployment
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.rollout.share.lock import locked

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, show, add and remove the endpoint's API keys. The key named admin can load adapters by hand.",
)

NameArgument = Annotated[str, typer.Argument(help="The key's name, as in logs, metrics and limits.")]


@app.command("list", epilog="Example: remora keys list examples/tone --output json")
@in_project()
def list_keys(folder: FolderArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """List the names of all keys, oldest first, but not the keys themselves."""
    out = Output(output)
    keys = AppKeys(open_deployment(folder, out).app).all()
    document = {"keys": [{"name": key.name, "admin": key.is_admin} for key in keys]}
    out.result("keys", document, "\n".join(key.name for key in keys))


@app.command(epilog='Example: export REMORA_ADMIN_KEY="$(remora keys show admin examples/tone)"')
@in_project()
def show(name: NameArgument, folder: FolderArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Print the newest key with this name."""
    out = Output(output)
    key = AppKeys(open_deployment(folder, out).app).secret_of(name)
    out.result("keys.show", {"name": name, "key": key}, key, summary=False)


@app.command(epilog="Example: remora keys add alice examples/tone")
@in_project()
def add(name: NameArgument, folder: FolderArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Create a key and print it. An older key with the same name stays valid until it is removed."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    with (
        locked(deployment.share, f"remora keys add {name}") as lock,
        out.step(f"adding a key for {name!r}"),
    ):
        key = AppKeys(lock.fence(deployment.app)).add(name)
    out.note(_next(folder))
    out.result("keys.add", {"name": name, "key": key}, key, summary=False)


@app.command(epilog="Example: remora keys rm alice examples/tone --yes")
@in_project()
def rm(
    name: NameArgument,
    folder: FolderArgument = Path(),
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Remove the oldest key with this name."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    out.confirm(f"Remove the oldest key named {name!r}?", assume_yes=yes)
    with (
        locked(deployment.share, f"remora keys rm {name}") as lock,
        out.step(f"removing a key of {name!r}"),
    ):
        AppKeys(lock.fence(deployment.app)).remove(name)
    out.result("keys.rm", {"name": name}, _next(folder))


def _next(folder: Path) -> str:
    return f"It takes effect with the next revision: {command_line('deploy', folder)}"
