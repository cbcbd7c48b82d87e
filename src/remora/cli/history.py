"""`remora history`: what was done to the endpoint, by whom, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from remora.cli.context import FolderArgument, open_deployment
from remora.cli.output import Mode, Output, OutputOption
from remora.rollout.history import Happened, document_of, read_history

_SHOWN_ID_CHARACTERS = 12

app = typer.Typer(add_completion=False)

MostOption = Annotated[int, typer.Option("--most", "-n", min=1, max=1000, help="How many, newest first.")]


@app.command(epilog="Example: remora history examples/tone -n 5")
def history(
    folder: FolderArgument = Path(), most: MostOption = 20, output: OutputOption = Mode.HUMAN
) -> None:
    """Show rollouts, rollbacks and changes of adapters: who, when, what, and the result."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    events = read_history(deployment.share, most=most)
    out.result("history", {"events": [document_of(event) for event in events]}, _table(events))


def _table(events: list[Happened]) -> Table | str:
    if not events:
        return "Nothing was deployed yet"
    table = Table(box=None, pad_edge=False)
    for column in ("when (UTC)", "who", "what", "from", "to", "result"):
        table.add_column(column, overflow="fold")
    for event in events:
        table.add_row(
            event.at[:19].replace("T", " "),
            f"{event.who}@{event.host}",
            f"{event.what} {event.name}",
            event.before[:_SHOWN_ID_CHARACTERS],
            event.after[:_SHOWN_ID_CHARACTERS],
            event.result,
        )
    return table
