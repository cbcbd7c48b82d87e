"""`remora rollback`: switch the traffic back to the previous release, or to a named one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from remora.cli.commands.deploy import TIMEOUT_SECONDS, TimeoutOption
from remora.cli.commands.start import start_if_stopped
from remora.cli.context import open_deployment
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.rollout.revision.places import Choose
from remora.rollout.revision.restart import Strategy
from remora.rollout.rollback import Rollback
from remora.rollout.share.lock import locked

app = typer.Typer(add_completion=False)

ReleaseOption = Annotated[
    str | None, typer.Option(help="The release's id, see: remora history.", show_default="the previous one")
]

StrategyOption = Annotated[
    Strategy,
    typer.Option(
        "--strategy",
        help="Start a stopped revision beside the serving one if it has room, or stop that one first."
        " A restart is no rollback.",
    ),
]


@app.command(epilog="Example: remora rollback examples/tone --yes")
@in_project(formerly="release")
def rollback(
    folder: FolderArgument = Path(),
    release: ReleaseOption = None,
    strategy: StrategyOption = Strategy.REVISION,
    timeout: TimeoutOption = TIMEOUT_SECONDS,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Switch the traffic back to an earlier release; the adapters stay (see: remora adapters rollback).

    A revision that was stopped starts first, in place of the serving one if there is room for only one.
    """
    out = Output(output, assume_yes=yes)
    deployment = open_deployment(folder, out)
    command = command_line("rollback", folder)
    start_if_stopped(deployment, command, out)
    with locked(deployment.share, command) as lock:
        going_back = Rollback(
            deployment.app, lock, timeout_seconds=timeout, steps=out.step, choose=_told(out)
        )
        done = going_back.run(release, strategy)
    where = f"in place of {done.former_revision}, which is stopped" if done.in_place else "before"
    out.result(
        "rollback",
        asdict(done),
        f"Release {done.release} serves, in revision {done.revision}; {where}: {done.former_release}",
    )


def _told(out: Output) -> Choose:
    """Say why the serving revision stops first. It is not a question: the user wants it replaced."""

    def told(why: str) -> bool:
        out.note(f"{why}. The serving revision stops first, and nothing answers until the former one does")
        return True

    return told
