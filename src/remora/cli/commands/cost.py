"""`remora cost`: what runs, since when, and what that has cost by Azure's list prices."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from remora.azure.app.state import Replica
from remora.cli.context import open_deployment
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.output.next_command import command_line
from remora.cli.price import DEFAULT_REQUESTS_PER_HOUR, RequestsOption, deployed_price, front_line, price_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.rollout.why.facts import now_text, seconds_between

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: remora cost examples/tone")
@in_project()
def cost(
    folder: FolderArgument = Path(),
    requests_per_hour: RequestsOption = DEFAULT_REQUESTS_PER_HOUR,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Show the replicas that run now, since when, and what they have cost so far. Wakes nothing."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    app_now = deployment.app
    price = deployed_price(app_now, requests_per_hour, front=deployment.front is not None)
    once = price["hour_management"] or 0.0
    hour = None if price["hour_awake"] is None else price["hour_awake"] - once
    running = [
        _running(replica, revision.name, hour)
        for revision in app_now.revisions()
        if revision.active
        for replica in app_now.replicas(revision.name)
    ]
    known = [row["cost"] for row in running if row["cost"] is not None]
    longest = max((row["seconds"] or 0.0 for row in running), default=0.0)
    billed = deployment.clients.profile.pulls_images
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "billed": billed,
        "price": price,
        "running": running,
        "so_far": sum(known) + once * longest / 3600 if len(known) == len(running) else None,
    }
    out.result("cost", document, _text(folder, document))


def _running(replica: Replica, revision: str, hour: float | None) -> dict[str, Any]:
    seconds = seconds_between(replica.created, now_text())
    return {
        "replica": replica.name,
        "revision": revision,
        "since": replica.created or None,
        "seconds": seconds,
        "cost": None if seconds is None or hour is None else hour * seconds / 3600,
    }


def _text(folder: Path, document: dict[str, Any]) -> str:
    price = document["price"]
    lines = [f"Price    {price_line(price)}"]
    if line := front_line(price):
        lines.append(f"Front    {line}")
    if not document["billed"]:
        lines.append("Billed   nothing: the local cloud runs on this machine; these are Azure's prices")
    for row in document["running"]:
        hours = "unknown" if row["seconds"] is None else f"{row['seconds'] / 3600:.2f} h"
        amount = "" if row["cost"] is None else f", {row['cost']:.2f} {price['currency']}"
        lines.append(f"Running  {row['replica']} since {row['since']} ({hours}{amount})")
    if not document["running"]:
        lines.append("Running  nothing")
    if document["so_far"]:
        lines.append(f"So far   {document['so_far']:.2f} {price['currency']} for what runs now")
    lines.append(f"Stop it  {command_line('stop', folder)}")
    return "\n".join(lines)
