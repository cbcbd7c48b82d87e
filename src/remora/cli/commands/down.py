"""`remora down`: remove what provision created. Keeps the files on the share, except with --purge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.profile import Clients
from remora.azure.provisioning.deployment import (
    cancel_deployment,
    follow_deployment,
    is_running,
    read_deployment,
)
from remora.azure.provisioning.groups import delete_group, group_location, is_ours, list_resources
from remora.azure.provisioning.leftovers import find_leftovers, remove_leftovers
from remora.cli.context import connect, open_deployment
from remora.cli.held_app import held_apps
from remora.cli.models.base_option import read_settings
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.target import (
    GroupOption,
    ProjectFiles,
    SubscriptionOption,
    TargetOptions,
    default_group,
    find_subscription,
)
from remora.errors import DeploymentNotFound, ProvisioningFailed
from remora.project.toolkit.config import load_finetuning_config, load_inference_config

app = typer.Typer(add_completion=False)

PurgeOption = Annotated[
    bool,
    typer.Option(
        "--purge", help="Delete the whole resource group, with the share and everything else in it."
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """The deployment to remove, found without asking the user."""

    clients: Clients
    group: str


@app.command(epilog="Example: remora down examples/tone --yes")
@in_project()
def down(
    folder: FolderArgument = Path(),
    purge: PurgeOption = False,
    subscription: SubscriptionOption = None,
    resource_group: GroupOption = None,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Delete the container app, so that nothing runs or costs money; models and adapters stay on the share.

    It is refused while another command, such as a deploy, changes the endpoint; with --purge it is not.
    --purge also removes what a failed or killed provision created.
    """
    out = Output(output)
    if purge:
        _purge(folder, TargetOptions(subscription, resource_group), out, yes=yes)
        return
    deployment = open_deployment(folder, out)
    name, group = deployment.config.app, deployment.config.resource_group
    what = f"container app {name!r}" + (
        f" and its front {front!r}" if (front := deployment.config.front) else ""
    )
    out.confirm(f"Delete {what}?", assume_yes=yes)
    with held_apps(deployment, command_line("down", folder), out) as held, out.step(f"deleting {what}"):
        for each in reversed(held):
            each.delete()
    removed = [f"containerApps {each.name}" for each in deployment.apps]
    document = {"app": name, "resource_group": group, "purged": False, "removed": removed}
    out.result("down", document, f"Deleted {what}. Bring it back with: {command_line('up', folder)}")


def _purge(folder: Path, options: TargetOptions, out: Output, *, yes: bool) -> None:
    config = load_inference_config(folder)
    place = _place(folder, options, out)
    clients, group = place.clients, place.group
    if group_location(clients, group) is None:
        raise DeploymentNotFound(
            f"there is no resource group {group!r}",
            hint="name the project's group: remora down --purge --resource-group GROUP",
        )
    if is_running(read_deployment(clients, group)):
        _end(place, out)
    whole = not config.missing or is_ours(clients, group)
    removed = _whole_group(place, out, yes=yes) if whole else _leftovers(place, out, yes=yes)
    document = {"app": config.app, "resource_group": group, "purged": True, "removed": removed}
    what = (
        f"resource group {group!r} and everything in it"
        if whole
        else f"{len(removed)} resources of {group!r}"
    )
    lines = [
        *(f"  - {one}" for one in removed),
        f"Deleted {what}. Start again with: {command_line('up', folder)}",
    ]
    out.result("down", document, "\n".join(lines))


def _whole_group(place: Place, out: Output, *, yes: bool) -> list[str]:
    found = list_resources(place.clients, place.group)
    what = f"resource group {place.group!r} and everything in it"
    _show(found, out)
    out.confirm(f"Delete {what}?", assume_yes=yes)
    with out.step(f"deleting {what}"):
        delete_group(place.clients, place.group)
    return found


def _leftovers(place: Place, out: Output, *, yes: bool) -> list[str]:
    """In a group that Remora did not create, delete only what the deployment created."""
    clients, group = place.clients, place.group
    found = find_leftovers(clients, group)
    _show([str(one) for one in found], out)
    if found:
        out.confirm(f"Delete these {len(found)} resources of {group!r}?", assume_yes=yes)
    with out.step(f"deleting what the deployment in {group!r} created") as say:
        remove_leftovers(clients, found, lambda one: say.done(str(one)))
        say(f"deleted {len(found)} resources; everything else in {group!r} stays")
    return [str(one) for one in found]


def _end(place: Place, out: Output) -> None:
    """Cancel a deployment that still runs, because it would create the deleted resources again."""
    with out.step(f"cancelling the deployment in {place.group!r}"):
        cancel_deployment(place.clients, place.group)
        try:
            follow_deployment(place.clients, place.group, lambda _: None)
        except ProvisioningFailed:  # cancelled, as requested, or failed: in both cases it has ended
            return


def _show(found: list[str], out: Output) -> None:
    for one in found:
        out.note(f"  - {one}")


def _place(folder: Path, options: TargetOptions, out: Output) -> Place:
    """The names in the project's files, else provision's defaults."""
    settings = read_settings(folder)
    files = ProjectFiles(folder, load_inference_config(folder), load_finetuning_config(folder))
    clients = connect(settings, out)
    subscription = find_subscription(clients, options, files, out)
    group = options.resource_group or str(default_group(files).value)
    return Place(clients.for_subscription(str(subscription.value)), group)
