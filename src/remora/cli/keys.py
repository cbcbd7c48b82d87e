"""`remora keys`: who may use the endpoint, by name. The cloud keeps the keys; here they are handed out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from remora.azure.app_keys import AppKeys
from remora.cli.adapter_folder import ProjectOption
from remora.cli.context import open_deployment
from remora.cli.output import Mode, Output, OutputOption, YesOption
from remora.rollout.lock import locked

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List, show, add and remove the endpoint's API keys. The one named admin may load adapters by hand.",
)

NameArgument = Annotated[str, typer.Argument(help="The key's name: what logs, metrics and limits call it.")]


@app.command("list", epilog="Example: remora keys list --output json")
def list_keys(project: ProjectOption = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """List the names of all keys, oldest first, never the keys themselves."""
    out = Output(output)
    keys = AppKeys(open_deployment(project, out).app).all()
    document = {"keys": [{"name": key.name, "admin": key.is_admin} for key in keys]}
    out.result("keys", document, "\n".join(key.name for key in keys))


@app.command(epilog='Example: export REMORA_ADMIN_KEY="$(remora keys show admin)"')
def show(name: NameArgument, project: ProjectOption = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Print a key, the newest of its name."""
    out = Output(output)
    key = AppKeys(open_deployment(project, out).app).secret_of(name)
    out.result("keys.show", {"name": name, "key": key}, key, summary=False)


@app.command(epilog="Example: remora keys add alice")
def add(name: NameArgument, project: ProjectOption = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Make a key and print it. One that has the name already stays good until it is removed."""
    out = Output(output)
    deployment = open_deployment(project, out)
    with locked(deployment.share, f"remora keys add {name}"), out.step(f"adding a key for {name!r}"):
        key = AppKeys(deployment.app).add(name)
    out.note(_next(project))
    out.result("keys.add", {"name": name, "key": key}, key, summary=False)


@app.command(epilog="Example: remora keys rm alice --yes")
def rm(
    name: NameArgument,
    project: ProjectOption = Path(),
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Remove a key, the oldest of its name."""
    out = Output(output)
    deployment = open_deployment(project, out)
    out.confirm(f"Remove the oldest key named {name!r}?", assume_yes=yes)
    with locked(deployment.share, f"remora keys rm {name}"), out.step(f"removing a key of {name!r}"):
        AppKeys(deployment.app).remove(name)
    out.result("keys.rm", {"name": name}, _next(project))


def _next(project: Path) -> str:
    return f"It holds from the next revision on: remora deploy {project}"
