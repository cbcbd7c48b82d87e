"""`remora open`: open the chat page in the browser, once the endpoint has answered."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from remora.cli.commands.status import answers_of, is_asleep
from remora.cli.context import Deployment, open_deployment
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import NotReady

app = typer.Typer(add_completion=False)

PrintOption = Annotated[bool, typer.Option("--print", help="Only print the URL.")]


@app.command("open", epilog="Example: remora open examples/tone --print")
@in_project()
def open_page(
    folder: FolderArgument = Path(), print_only: PrintOption = False, output: OutputOption = Mode.HUMAN
) -> None:
    """Open the endpoint's chat page in the browser."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    url = deployment.url()  # from the cloud: the file may name an address that now belongs to another app
    _check_answers(deployment, url)
    opened = not print_only and webbrowser.open(url)
    out.result("open", {"url": url, "opened": opened}, url)


def _check_answers(deployment: Deployment, url: str) -> None:
    """Raises NotReady if nothing or something else answers. The browser wakes a sleeping endpoint."""
    state = deployment.app.read()
    name = state.serving_revision
    if name and is_asleep(state, deployment.app.revision(name)):
        return
    found = answers_of(deployment)
    if not found["answers"]:
        raise NotReady(
            f"your endpoint does not answer at {url}: {found['problem']}", hint="see: remora status"
        )
