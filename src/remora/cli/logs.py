"""`remora logs`: what the container prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.apps import ContainerApp
from remora.azure.log_stream import MAX_TAIL_LINES, LogLine
from remora.azure.logs import Follower, read_logs, read_system_logs
from remora.cli.context import FolderArgument, open_deployment
from remora.cli.output import Mode, Output, OutputOption
from remora.errors import Interrupted, InvalidInput

app = typer.Typer(add_completion=False)

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Go on as new lines come.")]
TailOption = Annotated[int, typer.Option("--tail", min=0, max=MAX_TAIL_LINES, help="How many old lines.")]
RevisionOption = Annotated[str | None, typer.Option(help="A revision; the newest by default.")]
SystemOption = Annotated[
    bool, typer.Option("--system", help="What the platform did: starts, probes, restarts.")
]


@app.command(epilog="Example: remora logs examples/tone -f")
def logs(
    folder: FolderArgument = Path(),
    follow: FollowOption = False,
    tail: TailOption = 100,
    revision: RevisionOption = None,
    system: SystemOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Print what the newest replica printed; -f goes on over restarts and new revisions.

    With --output json: one JSON object a line.
    """
    if system and revision is not None:
        raise InvalidInput("--system shows the whole app, not a revision", hint="leave --revision out")
    out = Output(output)
    app_now = open_deployment(folder, out).app
    if revision is not None:
        app_now.revision(revision)  # or a misspelt one would be waited for
    try:
        for line in _lines(app_now, out, follow=follow, tail=tail, revision=revision, system=system):
            out.line(_shown(line, out.mode, system))
    except KeyboardInterrupt:  # how following ends: nothing to report
        raise typer.Exit(Interrupted.exit_code) from None


def _shown(line: LogLine, mode: Mode, system: bool) -> str:
    if mode is Mode.JSON:
        return json.dumps({"schema": "remora.log/v1", **asdict(line)})
    return f"{line.time} {line.text}" if system else line.text


def _lines(
    app_now: ContainerApp, out: Output, *, follow: bool, tail: int, revision: str | None, system: bool
) -> Iterator[LogLine]:
    if follow:
        return Follower(app_now, note=out.note, tail=tail, revision=revision, system=system).lines()
    if system:
        return read_system_logs(app_now, tail=tail)
    return read_logs(app_now, revision=revision, tail=tail)
