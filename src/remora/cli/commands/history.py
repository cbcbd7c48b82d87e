"""`remora history`: who changed the endpoint, when, and the result."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from remora.cli.context import open_deployment
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.project_folder import FolderArgument, in_project
from remora.rollout.share.history import Happened, document_of, read_history

_SHOWN_ID_CHARACTERS = 12

app = typer.Typer(add_completion=False)

MostOption = Annotated[int, typer.Option("--most", "-n", min=1, max=1000, help="How many, newest first.")]


@app.command(epilog="Example: remora history examples/tone -n 5")
@in_project()
def history(
    folder: FolderArgument = Path(), most: MostOption = 20, output: OutputOption = Mode.HUMAN
) -> None:
    """Show rollouts, rollbacks and adapter changes: who, when, what, and the result."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    events = read_history(deployment.share, most=most)
    out.result("history", {"events": [document_of(event) for event in events]}, _table(events))


def _table(events: list[Happened]) -> RenderableType:
    if not events:
        return "Nothing has been deployed yet"
    table = Table(box=None, pad_edge=False)
    for column in ("when (UTC)", "who", "what", "from", "to", "result"):
        table.add_column(column, overflow="fold")
    for event in events:
        table.add_row(
            _when(event),
            f"{event.who}@{event.host}",
            f"{event.what} {event.name}",
            event.before[:_SHOWN_ID_CHARACTERS],
            event.after[:_SHOWN_ID_CHARACTERS],
            event.result,
        )
    notes = [f"{_when(event)} {event.what}: {event.message}" for event in events if event.message]
    return Group(table, "", *notes) if notes else table


def _when(event: Happened) -> str:
    return event.at[:19].replace("T", " ")
