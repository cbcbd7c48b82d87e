"""`remora secrets`: print the endpoint's API key, or set another secret. Stores none: the cloud does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.app.apps import API_KEY_VARIABLE
from remora.cli.context import open_deployment
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import DeploymentNotFound, InvalidInput
from remora.rollout.share.lock import locked

app = typer.Typer(add_completion=False)

SetOption = Annotated[
    str | None,
    typer.Option("--set", metavar="NAME", help="Ask for a secret, or read it from stdin, and set it."),
]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@app.command(epilog='Example: export OPENAI_API_KEY="$(remora secrets examples/tone)"')
@in_project()
def secrets(
    folder: FolderArgument = Path(), name: SetOption = None, output: OutputOption = Mode.HUMAN
) -> None:
    """Print the endpoint's API key; with --set, give the container a secret as an environment variable."""
    out = Output(output)
    if name is not None:
        _set(folder, name, out)
        return
    deployment = open_deployment(folder, out)
    key = deployment.app.api_key()
    if not key:
        raise DeploymentNotFound(
            f"container app {deployment.app.name!r} does not set {API_KEY_VARIABLE} for its container",
            hint="run: remora provision",
        )
    out.result("secrets", {"api_key": key}, key, summary=False)


def _set(folder: Path, variable: str, out: Output) -> None:
    _check(variable)
    deployment = open_deployment(folder, out)
    value = out.ask_secret(f"Value of {variable}")
    secret = variable.lower().replace("_", "-").strip("-")
    with (
        locked(deployment.share, command_line("secrets", folder, "--set", variable)) as lock,
        out.step(f"setting secret {secret!r}"),
    ):
        lock.fence(deployment.app).set_secret(secret, value, variable=variable)
    document = {"app": deployment.app.name, "secret": secret, "variable": variable}
    again = command_line("deploy", folder)
    text = f"{deployment.app.name} keeps {variable} as secret {secret!r}\nUse it with: {again}"
    out.result("secrets.set", document, text)


def _check(variable: str) -> None:
    if not _VARIABLE.fullmatch(variable) or not variable.strip("_"):
        raise InvalidInput(
            f"{variable!r} is not the name of an environment variable",
            hint="use letters, digits and _, as in HF_TOKEN",
            param="--set",
        )
    if variable.startswith(API_KEY_VARIABLE.partition("_")[0] + "_"):
        raise InvalidInput(
            f"{variable} is reserved for Remora", hint="use a name without that prefix", param="--set"
        )
