"""Where a project is provisioned, and with which parameters: flags, then the project's files, then questions.

Changes nothing. Every value is kept with what says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.azure.bicep import OUR_COMPILER, build
from remora.azure.groups import group_location, list_groups, list_subscriptions
from remora.azure.profile import Clients
from remora.azure.template import Wanted
from remora.cli.context import connect, read_settings
from remora.cli.output import Output
from remora.errors import InvalidInput, ProjectIncomplete, SignInRequired
from remora.project.config import (
    FINETUNING_FILE,
    INFERENCE_FILE,
    FinetuningConfig,
    InferenceConfig,
    load_finetuning_config,
    load_inference_config,
)
from remora.project.parameter_rules import check_parameters
from remora.project.parameters import load_parameters, shadowed_parameters
from remora.project.resolved import Resolved, check_group_known, given_values, resolve_parameters
from remora.project.settings import Settings

TEMPLATE_FILE = Path("infra/provision/inference.bicep")

SubscriptionOption = Annotated[
    str | None, typer.Option("--subscription", envvar="AZURE_SUBSCRIPTION_ID", help="Subscription id.")
]
GroupOption = Annotated[
    str | None, typer.Option("--resource-group", "-g", envvar="AZURE_RESOURCE_GROUP", help="Resource group.")
]
LocationOption = Annotated[
    str | None, typer.Option(envvar="AZURE_LOCATION", help="Region of a new resource group.")
]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user said about where to provision; None means a default or a question."""

    subscription: str | None = None
    resource_group: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a project's template goes: `location` is the group's, `wanted.location` that of the resources.

    `resolved` says of subscription, group and every parameter what it is and why.
    """

    clients: Clients
    settings: Settings
    config: InferenceConfig
    wanted: Wanted
    location: str
    exists: bool
    resolved: tuple[Resolved, ...]


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """What the two steps have written down."""

    folder: Path
    config: InferenceConfig
    finetuning: FinetuningConfig


def find_target(folder: Path, wishes: Wishes, out: Output) -> Target:
    """What is to be deployed and where. Asks what nobody has said; changes nothing."""
    settings = read_settings(folder)
    template = read_template(folder, out)
    parameters = load_parameters(folder)
    if shadowed := shadowed_parameters(folder):
        out.warn(f"{shadowed} is not read, since there is {parameters.path}")
    files = ProjectFiles(folder, load_inference_config(folder), load_finetuning_config(folder))
    if wishes.resource_group is None and files.config.resource_group is None:
        check_group_known(folder, files.finetuning)
    clients = connect(settings, out)
    subscription = find_subscription(clients, wishes, files, out)
    clients = clients.for_subscription(str(subscription.value))
    group = _group(clients, wishes, files, out)
    cloud = Resolved("cloud", settings.cloud, settings.origins["cloud"])
    declared = template.get("parameters", {})
    resolved = resolve_parameters(
        folder, parameters, files.finetuning, resource_group=str(group.value), declared=declared
    )
    check_parameters(folder, resolved, declared, TEMPLATE_FILE.as_posix())
    existing = group_location(clients, str(group.value))
    location = existing or _location(clients, str(group.value), wishes, out)
    values = given_values(resolved)
    wanted = Wanted(str(group.value), str(values.get("location") or location), template, values)
    return Target(
        clients,
        settings,
        files.config,
        wanted,
        location,
        existing is not None,
        (cloud, subscription, group, *resolved),
    )


def read_template(folder: Path, out: Output) -> dict[str, Any]:
    """The project's template, compiled. Raises ProjectIncomplete or InvalidFile."""
    path = folder / TEMPLATE_FILE
    try:
        built = build(path, root=folder)
    except FileNotFoundError as error:
        raise ProjectIncomplete(f"{path} does not exist", hint=f"run: remora init {folder}") from error
    if built.compiler != OUR_COMPILER:
        out.note(f"compiled by: {built.compiler}")
    for line in built.diagnostics:
        out.note(line)
    return built.template


def find_subscription(clients: Clients, wishes: Wishes, files: ProjectFiles, out: Output) -> Resolved:
    """The wish, else what the project's files say, where this cloud knows it; else a question."""
    known = list_subscriptions(clients)
    if not known:
        raise SignInRequired("no subscription is visible to you", hint="sign in with: az login")
    ids = [subscription_id for subscription_id, _ in known]
    if wishes.subscription is not None:
        return Resolved("subscription", _visible(wishes.subscription, ids), "--subscription")
    named = [
        Resolved("subscription", value, f"{file.as_posix()} (SUBSCRIPTION_ID)")
        for file, value in (
            (INFERENCE_FILE, files.config.subscription_id),
            (FINETUNING_FILE, files.finetuning.subscription_id),
        )
        if value is not None
    ]
    if named and named[0].value not in ids:
        _report_gone(named[0], clients, files.folder, out)
    default = next((item for item in named if item.value in ids), None)
    chosen = out.choose(
        "Subscription",
        known,
        default=str(default.value) if default else None,
        flag="--subscription",
        variable="AZURE_SUBSCRIPTION_ID",
    )
    if default is not None and chosen == default.value:
        return default
    return Resolved("subscription", chosen, "the only one" if len(ids) == 1 else "your answer")


def _visible(subscription_id: str, ids: Sequence[str]) -> str:
    if subscription_id not in ids:
        raise InvalidInput(
            f"subscription {subscription_id!r} is not among those that you see: {', '.join(ids)}",
            hint="choose one with --subscription, or sign in to its tenant: az login --tenant TENANT",
            param="--subscription",
        )
    return subscription_id


def _report_gone(item: Resolved, clients: Clients, folder: Path, out: Output) -> None:
    """A subscription that a file names and the cloud does not show: gone, or of another account."""
    what = f"{folder / item.origin.partition(' ')[0]}: SUBSCRIPTION_ID {item.value} is not visible to you"
    if clients.profile.rehearses:
        out.warn(f"{what} on this cloud")
        return
    raise SignInRequired(
        what,
        hint=f"sign in to its tenant (az login --tenant TENANT), correct the file, or run:"
        f" remora provision {folder} --subscription ID",
        param="SUBSCRIPTION_ID",
    )


def _group(clients: Clients, wishes: Wishes, files: ProjectFiles, out: Output) -> Resolved:
    if wishes.resource_group is not None:
        return Resolved("resource_group", wishes.resource_group, "--resource-group")
    default = _default_group(files)
    chosen = out.ask(
        "Resource group",
        default=str(default.value),
        flag="--resource-group",
        variable="AZURE_RESOURCE_GROUP",
        known=lambda: list_groups(clients),
    )
    return default if chosen == default.value else Resolved("resource_group", chosen, "your answer")


def _default_group(files: ProjectFiles) -> Resolved:
    for file, value in (
        (INFERENCE_FILE, files.config.resource_group),
        (FINETUNING_FILE, files.finetuning.resource_group),
    ):
        if value is not None:
            return Resolved("resource_group", value, f"{file.as_posix()} (RESOURCE_GROUP_NAME)")
    words = re.sub(r"[^a-z0-9]+", "-", files.folder.resolve().name.lower()).strip("-")
    return Resolved("resource_group", f"remora-{words or 'project'}", "the folder's name")


def _location(clients: Clients, group: str, wishes: Wishes, out: Output) -> str:
    return wishes.location or out.ask(
        f"Region of the new resource group {group!r}",
        default=clients.profile.default_location or os.environ.get("AZURE_DEFAULTS_LOCATION"),
        flag="--location",
        variable="AZURE_LOCATION",
    )
