"""`remora env`: what a client needs to use the endpoint, as environment variables. Owns names and forms.

The API key is a secret, so it is printed with --with-key only. Without it --export has the command that reads
it when the shell runs the line, and the other forms leave it out.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.app.apps import API_KEY_VARIABLE
from remora.cli.context import open_deployment
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import DeploymentNotFound, InvalidInput, listed

app = typer.Typer(add_completion=False)

BASE_URL, API_KEY, MODEL, MODELS = "OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL", "REMORA_MODELS"

ExportOption = Annotated[bool, typer.Option("--export", help="Print lines for a shell to evaluate.")]
DotenvOption = Annotated[bool, typer.Option("--dotenv", help="Print lines for a .env file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, as --output json does.")]
KeyOption = Annotated[bool, typer.Option("--with-key", help="Print the API key as well: it is a secret.")]


@app.command(epilog='Example: eval "$(remora env examples/tone --export)"')
@in_project()
def env(
    folder: FolderArgument = Path(),
    export: ExportOption = False,
    dotenv: DotenvOption = False,
    as_json: JsonOption = False,
    with_key: KeyOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Print base URL, API key and model names for OpenAI's clients. OPENAI_MODEL is the first adapter."""
    _check_one(export, dotenv, as_json)
    out = Output(Mode.JSON if as_json else output)
    deployment = open_deployment(folder, out)
    with deployment.api_endpoint("has no OpenAI API") as endpoint:
        models = [str(item["id"]) for item in endpoint.models()]
    variables = {BASE_URL: f"{deployment.url()}/v1"}
    if with_key:
        variables[API_KEY] = deployment.app.api_key()
        if not variables[API_KEY]:
            raise DeploymentNotFound(
                f"container app {deployment.app.name!r} does not set {API_KEY_VARIABLE} for its container",
                hint="run: remora provision",
            )
    variables |= {MODEL: models[min(1, len(models) - 1)], MODELS: ",".join(models)}
    if export:
        text = _exported(variables, folder)
    elif dotenv:
        text = "\n".join(f"{name}={_quoted(value)}" for name, value in variables.items())
    else:
        text = _table(variables, folder)
    if out.mode is Mode.JSON:
        out.result("env", {"variables": variables, "models": models}, summary=False)
    else:
        out.line(text)


def _check_one(export: bool, dotenv: bool, as_json: bool) -> None:
    forms = {"--export": export, "--dotenv": dotenv, "--json": as_json}
    given = [flag for flag, is_given in forms.items() if is_given]
    if len(given) > 1:
        raise InvalidInput(
            f"{listed(given)} exclude each other", hint="choose one form of the output", param=given[1]
        )


def _exported(variables: Mapping[str, str], folder: Path) -> str:
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    if API_KEY not in variables:
        # The shell that evaluates the line runs the command: no key is in what we print.
        lines.insert(1, f'export {API_KEY}="$({command_line("secrets", folder)})"')
    return "\n".join(lines)


def _quoted(value: str) -> str:
    """As dotenv readers take it: in double quotes, with JSON's escapes, which are theirs, too."""
    return json.dumps(value)


def _table(variables: Mapping[str, str], folder: Path) -> str:
    shown = dict(variables)
    shown.setdefault(API_KEY, f"hidden; show it with: {command_line('env', folder, '--with-key')}")
    return "\n".join(f"{name:<16} {shown[name]}" for name in (BASE_URL, API_KEY, MODEL, MODELS))
