"""`remora logs`: what the container prints."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.logs import MAX_TAIL_LINES, read_logs
from remora.cli.context import FolderArgument, open_deployment
from remora.cli.output import Mode, Output, OutputOption

app = typer.Typer(add_completion=False)

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on as new lines come.")]
TailOption = Annotated[int, typer.Option("--tail", min=0, max=MAX_TAIL_LINES, help="How many old lines.")]
RevisionOption = Annotated[str | None, typer.Option(help="A revision; the newest by default.")]


@app.command(epilog="Example: remora logs examples/tone -f")
def logs(
    folder: FolderArgument = Path(),
    follow: FollowOption = False,
    tail: TailOption = 100,
    revision: RevisionOption = None,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Print what the newest replica printed. With --output json: one JSON object a line."""
    out = Output(output)
    app_now = open_deployment(folder, out).app
    for line in read_logs(app_now, revision=revision, tail=tail, follow=follow):
        if out.mode is Mode.JSON:
            out.line(json.dumps({"schema": "remora.log/v1", **asdict(line)}))
        else:
            out.line(line.text)
