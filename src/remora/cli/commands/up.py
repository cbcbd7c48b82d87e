"""`remora up`: from a folder to an answering endpoint; safe to run again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import typer

from remora.adapters.model_set import remark_notes, sampling_notes
from remora.cli.commands.deploy import (
    TIMEOUT_SECONDS,
    AllowUnprovenOption,
    DeployOptions,
    PruneOption,
    StrategyOption,
    TimeoutOption,
    TtlOption,
    deploy_project,
    show_deployed,
)
from remora.cli.commands.init import write_missing
from remora.cli.commands.provision import VerboseOption, provision_project
from remora.cli.keyless import check_planned
from remora.cli.models.adapters_option import AdaptersOption, chosen_adapters
from remora.cli.models.base_option import BaseOption
from remora.cli.models.project_models import models_here
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.price import MaxHourlyOption, check_limit, planned_price
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.target import GroupOption, LocationOption, SubscriptionOption, Target, TargetOptions
from remora.cli.why.diagnosis import diagnosed
from remora.project.toolkit.commands import Program, program_of
from remora.rollout.revision.restart import Strategy

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: remora up examples/tone")
@in_project(several=True)
def up(
    folder: FolderArgument = Path(),
    base: BaseOption = None,
    adapters: AdaptersOption = None,
    subscription: SubscriptionOption = None,
    resource_group: GroupOption = None,
    location: LocationOption = None,
    strategy: StrategyOption = Strategy.REVISION,
    prune: PruneOption = False,
    allow_unproven: AllowUnprovenOption = False,
    ttl: TtlOption = None,
    timeout: TimeoutOption = TIMEOUT_SECONDS,
    max_hourly: MaxHourlyOption = None,
    verbose: VerboseOption = False,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Find, provision, deploy and check in one go. What is up to date stays untouched."""
    out = Output(output, assume_yes=yes)
    named = chosen_adapters(folder.resolve(), adapters or ())
    where = TargetOptions(subscription, resource_group, location)
    how = DeployOptions(timeout, strategy, prune=prune, allow_unproven=allow_unproven, ttl=ttl)
    with diagnosed("up", folder, out):
        write_missing(folder, out, base=base, named=named)
        provision_project(
            folder, where, out, verbose=verbose, first=partial(_look_first, out, max_hourly, ttl)
        )
        deployed = deploy_project(folder, out, how)
    show_deployed(folder, deployed, out)


def _look_first(out: Output, max_hourly: float | None, ttl: str | None, target: Target) -> None:
    """Refuse what cannot work before anything is made."""
    if ttl is not None:
        target.settings.scale.with_ttl(ttl)
    check_limit(planned_price(target), max_hourly)
    _look_at_models(out, target)


def _look_at_models(out: Output, target: Target) -> None:
    """Refuse what cannot be served before anything is made for it. Another program than ours is its own."""
    if program_of(target.wanted.parameters.get("defaultCommands") or ()) is not Program.REMORA:
        return
    with out.step("looking at the models") as say:
        models = models_here(target.settings)
        say(f"{len(models.adapters)} adapters on {models.base_name}" if models else "they are on the share")
    if models:
        check_planned(target, models)
    for line in (*remark_notes(models.adapters), *sampling_notes(models)) if models else ():
        out.warn(line)
