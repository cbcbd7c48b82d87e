"""`remora open`: the chat page, in the browser. Reads one file and imports nothing heavy."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from remora.cli.output import Mode, Output, OutputOption
from remora.errors import DeploymentNotFound
from remora.project.config import INFERENCE_FILE, load_inference_config

app = typer.Typer(add_completion=False)

PrintOption = Annotated[bool, typer.Option("--print", help="Only print the URL.")]
FolderArgument = Annotated[Path, typer.Argument(help="The project's folder.", show_default="this folder")]


@app.command("open", epilog="Example: remora open examples/tone --print")
def open_page(
    folder: FolderArgument = Path(), print_only: PrintOption = False, output: OutputOption = Mode.HUMAN
) -> None:
    """Open the endpoint's chat page in the browser."""
    out = Output(output)
    url = load_inference_config(folder).url
    if url is None:
        raise DeploymentNotFound(
            f"{folder / INFERENCE_FILE} has no ACA_APP_ENDPOINT yet", hint=f"run: remora up {folder}"
        )
    opened = not print_only and webbrowser.open(url)
    out.result("open", {"url": url, "opened": opened}, url)
