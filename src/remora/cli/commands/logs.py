"""`remora logs`: print or follow the container's logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.app.apps import ContainerApp
from remora.azure.app.log_stream import MAX_TAIL_LINES, LogLine
from remora.azure.app.logs import Follower, read_all_logs, read_system_logs
from remora.cli.context import Deployment, open_deployment
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.output.log_lines import painter, wanted_lines
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import DeploymentNotFound, Interrupted, InvalidInput

app = typer.Typer(add_completion=False)

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")]
TailOption = Annotated[
    int | None,
    typer.Option(
        "--tail",
        min=0,
        max=MAX_TAIL_LINES,
        help="How many existing lines of each replica to read.",
        show_default="100, with a filter 300",
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(help="Only lines since a time, or of the last 10m, 2h or 1d.", show_default=False),
]
GrepOption = Annotated[
    str | None,
    typer.Option(help="Only lines that match a regular expression, in any case.", show_default=False),
]
RequestOption = Annotated[
    str | None,
    typer.Option(
        "--request", metavar="ID", help="Only lines about a request (its x-request-id).", show_default=False
    ),
]
_TAIL_LINES = 100
RevisionOption = Annotated[str | None, typer.Option(help="A revision; the newest by default.")]
SystemOption = Annotated[
    bool, typer.Option("--system", help="Show the platform's log: starts, probes, restarts.")
]


FrontOption = Annotated[bool, typer.Option("--front", help="Show the log of the front: see [scale] front.")]


@app.command(epilog="Example: remora logs examples/tone -f")
@in_project()
def logs(
    folder: FolderArgument = Path(),
    follow: FollowOption = False,
    tail: TailOption = None,
    revision: RevisionOption = None,
    system: SystemOption = False,
    front: FrontOption = False,
    since: SinceOption = None,
    grep: GrepOption = None,
    request: RequestOption = None,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Print the newest revision's log; -f follows it across restarts and new revisions.

    A terminal shows time, replica, level and message; elsewhere lines are as the container printed them.
    --output json prints one JSON object per line.
    """
    if system and revision is not None:
        raise InvalidInput("--system shows the whole app, not a revision", hint="leave out --revision")
    out = Output(output)
    wanted = wanted_lines(since, grep, request)
    lines = tail if tail is not None else _TAIL_LINES if wanted.is_all else MAX_TAIL_LINES
    app_now = _app(open_deployment(folder, out), front=front)
    if revision is not None:
        app_now.revision(revision)  # raises now, instead of waiting for a misspelt revision
    paint = painter()
    try:
        found = _lines(app_now, out, follow=follow, tail=lines, revision=revision, system=system)
        for line in wanted.of(found):
            if out.is_watched:
                out.styled(paint(line))
            else:
                out.line(_shown(line, out.mode, system))
    except KeyboardInterrupt:  # the usual way to stop following: nothing to report
        raise typer.Exit(Interrupted.exit_code) from None


def _app(deployment: Deployment, *, front: bool) -> ContainerApp:
    if not front:
        return deployment.app
    if deployment.front is None:
        raise DeploymentNotFound(
            "the endpoint has no front", hint="set front = true under [scale]: remora up"
        )
    return deployment.front


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
    return iter(read_all_logs(app_now, revision=revision, tail=tail))
