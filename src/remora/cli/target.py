"""Where a project is provisioned, and with which parameters: flags, then the project's files, then questions.

Changes nothing. Every value is kept with its origin.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.azure.bicep import OUR_COMPILER, build, target_of
from remora.azure.profile import Clients
from remora.azure.provisioning.groups import group_location, list_groups, list_subscriptions
from remora.azure.provisioning.share_access import ShareAccess, choose_access
from remora.azure.provisioning.template import Wanted
from remora.cli.context import connect
from remora.cli.models.base_option import read_settings
from remora.cli.output.console import Output
from remora.errors import InvalidFile, InvalidInput, ProjectIncomplete, SignInRequired, listed
from remora.project.files.json_file import parse_object
from remora.project.scaffold import BICEP_FILE, COMPILED_FILE, PARAMETERS_FILE
from remora.project.settings import SETTINGS_FILE, Settings
from remora.project.toolkit.config import (
    FINETUNING_FILE,
    INFERENCE_FILE,
    FinetuningConfig,
    InferenceConfig,
    load_finetuning_config,
    load_inference_config,
)
from remora.project.toolkit.parameter_rules import check_parameters
from remora.project.toolkit.parameters import load_parameters, shadowed_parameters
from remora.project.toolkit.resolved import Resolved, check_group_known, given_values, resolve_parameters

FRONT = "front"  # the template's parameter

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
class TargetOptions:
    """The user's flags about where to provision; None means a default or a question."""

    subscription: str | None = None
    resource_group: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where a project's template is deployed: `location` is the group's, `wanted.location` the resources'.

    `resolved` has the value and origin of subscription, group and every parameter; `access` is how the share
    is reached.
    """

    clients: Clients
    settings: Settings
    config: InferenceConfig
    wanted: Wanted
    location: str
    exists: bool
    resolved: tuple[Resolved, ...]
    access: ShareAccess


@dataclass(frozen=True, slots=True)
class ProjectFiles:
    """The files that the fine-tuning and inference steps wrote."""

    folder: Path
    config: InferenceConfig
    finetuning: FinetuningConfig


def find_target(
    folder: Path, options: TargetOptions, out: Output, unwritten: Mapping[Path, str] | None = None
) -> Target:
    """What is to be deployed and where. Asks for missing values; changes nothing.

    `unwritten` has the texts of files that are to be written first, by their paths in the project.
    """
    texts = unwritten or {}
    settings = read_settings(folder, texts.get(Path(SETTINGS_FILE), ""))
    template = read_template(folder, out, texts)
    parameters = load_parameters(folder, unwritten=texts.get(PARAMETERS_FILE))
    if shadowed := shadowed_parameters(folder):
        out.warn(f"{shadowed} is not read, because {parameters.path} exists")
    files = ProjectFiles(folder, load_inference_config(folder), load_finetuning_config(folder))
    if options.resource_group is None and files.config.resource_group is None:
        check_group_known(folder, files.finetuning)
    clients = connect(settings, out)
    subscription = find_subscription(clients, options, files, out)
    clients = clients.for_subscription(str(subscription.value))
    group = _group(clients, options, files, out)
    cloud = Resolved("cloud", settings.cloud, settings.origins["cloud"])
    declared = template.get("parameters", {})
    resolved = resolve_parameters(
        folder, parameters, files.finetuning, resource_group=str(group.value), declared=declared
    )
    check_parameters(folder, resolved, declared, BICEP_FILE.as_posix())
    existing = group_location(clients, str(group.value))
    location = existing or _location(clients, str(group.value), options, out)
    values = {**given_values(resolved), **_front(settings, template)}
    wanted = Wanted(str(group.value), str(values.get("location") or location), template, values)
    access = _access(clients, settings, files.config, wanted, exists=existing is not None)
    return Target(
        clients,
        settings,
        files.config,
        replace(wanted, parameters={**values, **access.parameters}),
        location,
        existing is not None,
        (cloud, subscription, group, *resolved, *_chosen(access)),
        access,
    )


def _front(settings: Settings, template: Mapping[str, Any]) -> dict[str, object]:
    """The template's parameter for the front, if the settings ask for one."""
    if not settings.scale.front:
        return {}
    if FRONT not in (template.get("parameters") or {}):
        raise InvalidInput(
            f"scale.front is true, and {BICEP_FILE.as_posix()} has no parameter {FRONT!r}: it is an older"
            " template, or your own",
            hint="move that file away (the next command writes the current one), or set front = false",
            param="scale.front",
        )
    return {FRONT: True}


def _access(
    clients: Clients, settings: Settings, config: InferenceConfig, wanted: Wanted, *, exists: bool
) -> ShareAccess:
    named = wanted.parameters.get("storageAccountName")
    known = config.storage_account if config.resource_group == wanted.group else None
    return choose_access(
        clients,
        wanted,
        account=str(named) if named else known,
        exists=exists,
        setting=settings.share_access,
        origin=settings.origins["azure.share_access"],
    )


def _chosen(access: ShareAccess) -> tuple[Resolved, ...]:
    """The parameters that were chosen for the user, with the reason."""
    return tuple(Resolved(name, value, access.reason) for name, value in access.parameters.items())


def read_template(folder: Path, out: Output, unwritten: Mapping[Path, str] | None = None) -> dict[str, Any]:
    """The project's template, compiled. Raises ProjectIncomplete or InvalidFile."""
    if unwritten and COMPILED_FILE in unwritten:
        return dict(parse_object(unwritten[COMPILED_FILE], folder / COMPILED_FILE))
    path = folder / BICEP_FILE
    try:
        built = build(path, root=folder)
    except FileNotFoundError as error:
        raise ProjectIncomplete(f"{path} does not exist", hint="run: remora init") from error
    if built.compiler != OUR_COMPILER:
        out.note(f"compiled by: {built.compiler}")
    for line in built.diagnostics:
        out.note(line)
    if (wanted := target_of(built.template)) != "resourceGroup":
        raise InvalidFile(
            f"{path}: its targetScope is {wanted!r}, and Remora deploys to a resource group",
            hint="remove the targetScope, or call this file as a module with a scope of its own",
        )
    return built.template


def find_subscription(clients: Clients, options: TargetOptions, files: ProjectFiles, out: Output) -> Resolved:
    """The flag, else the id in the project's files if this cloud has it; else a question."""
    known = list_subscriptions(clients)
    if not known:
        raise SignInRequired("your account can see no subscription", hint="sign in with: az login")
    ids = [subscription_id for subscription_id, _ in known]
    if options.subscription is not None:
        return Resolved("subscription", _visible(options.subscription, ids), "--subscription")
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
    if clients.profile.rehearses:
        return default or Resolved("subscription", ids[0], "this cloud's only one")
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
            f"subscription {subscription_id!r} is not among those that your account can see: {listed(ids)}",
            hint="choose one with --subscription, or sign in to its tenant: az login --tenant TENANT",
            param="--subscription",
        )
    return subscription_id


def _report_gone(item: Resolved, clients: Clients, folder: Path, out: Output) -> None:
    """Reports a subscription that a file names and the cloud does not list: deleted, or another account's."""
    what = f"{folder / item.origin.partition(' ')[0]}: SUBSCRIPTION_ID {item.value} is not visible to you"
    if clients.profile.rehearses:
        out.warn(f"{what} on this cloud")
        return
    raise SignInRequired(
        what,
        hint="sign in to its tenant (az login --tenant TENANT), correct the file, or run:"
        " remora provision --subscription ID",
        param="SUBSCRIPTION_ID",
    )


def _group(clients: Clients, options: TargetOptions, files: ProjectFiles, out: Output) -> Resolved:
    if options.resource_group is not None:
        return Resolved("resource_group", options.resource_group, "--resource-group")
    default = default_group(files)
    if clients.profile.rehearses:
        return default
    chosen = out.ask(
        "Resource group",
        default=str(default.value),
        flag="--resource-group",
        variable="AZURE_RESOURCE_GROUP",
        known=lambda: list_groups(clients),
    )
    return default if chosen == default.value else Resolved("resource_group", chosen, "your answer")


def default_group(files: ProjectFiles) -> Resolved:
    for file, value in (
        (INFERENCE_FILE, files.config.resource_group),
        (FINETUNING_FILE, files.finetuning.resource_group),
    ):
        if value is not None:
            return Resolved("resource_group", value, f"{file.as_posix()} (RESOURCE_GROUP_NAME)")
    words = re.sub(r"[^a-z0-9]+", "-", files.folder.resolve().name.lower()).strip("-")
    return Resolved("resource_group", f"remora-{words or 'project'}", "the folder's name")


def _location(clients: Clients, group: str, options: TargetOptions, out: Output) -> str:
    if clients.profile.rehearses and not options.location:
        return clients.profile.default_location or ""
    return options.location or out.ask(
        f"Region of the new resource group {group!r}",
        default=clients.profile.default_location or os.environ.get("AZURE_DEFAULTS_LOCATION"),
        flag="--location",
        variable="AZURE_LOCATION",
    )
