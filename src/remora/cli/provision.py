"""`remora provision`: create or update the cloud resources, and write down where they are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.azure.bicep import OUR_COMPILER, build
from remora.azure.deployment import ResourceProgress, cancel_deployment, is_running, read_deployment
from remora.azure.gpus import check_gpus
from remora.azure.groups import create_group, group_location, list_groups, list_subscriptions
from remora.azure.preflight import check_storage, missing_providers, register_provider
from remora.azure.profile import Clients
from remora.azure.provision import Prepared, Provisioned, prepare
from remora.azure.provision import provision as provision_template
from remora.azure.template import Wanted
from remora.cli.context import FolderArgument, connect, read_settings
from remora.cli.interrupt import Work, interruptible
from remora.cli.output import Mode, Output, OutputOption, YesOption
from remora.errors import InvalidInput, ProjectIncomplete, Refused, SignInRequired
from remora.project.config import (
    FinetuningConfig,
    InferenceConfig,
    load_finetuning_config,
    load_inference_config,
    save_inference_config,
    with_outputs,
)
from remora.project.parameters import inherited_names, load_parameters
from remora.project.settings import Settings

TEMPLATE_FILE = Path("infra/provision/inference.bicep")

app = typer.Typer(add_completion=False)

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
    """Where a project's template goes: `location` is the group's, `wanted.location` that of the resources."""

    clients: Clients
    settings: Settings
    config: InferenceConfig
    wanted: Wanted
    location: str
    exists: bool


@app.command(epilog="Example: remora provision examples/tone --resource-group my-group")
def provision(
    folder: FolderArgument = Path(),
    subscription: SubscriptionOption = None,
    resource_group: GroupOption = None,
    location: LocationOption = None,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Create or update the cloud resources of infra/provision/inference.bicep."""
    out = Output(output, assume_yes=yes)
    config, changed = provision_project(folder, Wishes(subscription, resource_group, location), out)
    document = {
        "changed": changed,
        "subscription_id": config.subscription_id,
        "resource_group": config.resource_group,
        "storage_account": config.storage_account,
        "file_share": config.file_share,
        "app": config.app,
        "endpoint": config.url,
    }
    rows = "\n".join(f"  {key:<16} {value}" for key, value in document.items() if key != "changed")
    head = "Provisioned" if changed else "Nothing to do: everything is as the template says"
    out.result("provision", document, f"{head}\n{rows}\nNext: remora deploy {folder}")


def provision_project(folder: Path, wishes: Wishes, out: Output) -> tuple[InferenceConfig, bool]:
    """Deploy the project's template; returns the config as written, and whether anything changed."""
    target = find_target(folder, wishes, out)
    clients, group = target.clients, target.wanted.group
    prepared = prepare_target(target) if target.exists else None
    if prepared is None or not (prepared.outputs is not None or prepared.running):
        _preflight(clients, with_resources(target.wanted, prepared), out)
    if prepared is None:
        with out.step(f"creating resource group {group!r} in {target.location}"):
            create_group(clients, group, target.location)
        prepared = prepare_target(target)
    with interruptible(out, _work(target, folder)):
        provisioned = _provision(target, prepared, out)
    written = with_outputs(target.config, provisioned.outputs, scheme=clients.profile.endpoint_scheme)
    if written != target.config:
        save_inference_config(folder, written)
    return written, provisioned.changed


def find_target(folder: Path, wishes: Wishes, out: Output) -> Target:
    """What is to be deployed and where. Asks what nobody has said; changes nothing."""
    settings = read_settings(folder)
    template = _read_template(folder, out)
    parameters = load_parameters(folder)
    config, finetuning = load_inference_config(folder), load_finetuning_config(folder)
    clients = connect(settings, out)
    subscription = _subscription(clients, wishes, config, finetuning, out)
    clients = clients.for_subscription(subscription)
    group = _group(folder, clients, wishes, config, finetuning, out)
    existing = group_location(clients, group)
    location = existing or _location(clients, group, wishes, out)
    declared = template.get("parameters", {})
    inherited = inherited_names(folder, finetuning, resource_group=group)
    values = {**{name: value for name, value in inherited.items() if name in declared}, **parameters.values}
    wanted = Wanted(group, str(values.get("location") or location), template, values)
    return Target(clients, settings, config, wanted, location, existing is not None)


def check(clients: Clients, wanted: Wanted, out: Output) -> list[str]:
    """Refuse what would fail; returns the providers that must be registered first."""
    with out.step("checking providers, region, quota and names") as say:
        missing = missing_providers(clients, wanted)
        check_storage(clients, wanted)
        warnings = check_gpus(clients, wanted)
        say(f"{wanted.location} has what the template needs")
    for warning in warnings:
        out.warn(warning)
    return missing


def prepare_target(target: Target) -> Prepared:
    wanted = target.wanted
    return prepare(target.clients, wanted.group, wanted.template, wanted.parameters)


def with_resources(wanted: Wanted, prepared: Prepared | None) -> Wanted:
    """The same, with the resources that it is about, where they are known."""
    return replace(wanted, resource_ids=prepared.resource_ids if prepared else ())


def _preflight(clients: Clients, wanted: Wanted, out: Output) -> None:
    """Refuse what would fail; register providers, once the user agrees."""
    for namespace in check(clients, wanted, out):
        if not out.agrees(f"Register provider {namespace} for the subscription?", default=out.assume_yes):
            raise Refused(
                f"provider {namespace} is not registered for this subscription",
                hint=f"run: az provider register --namespace {namespace}, or say --yes",
            )
        with out.step(f"registering provider {namespace}") as say:
            register_provider(clients, namespace, say.now)


def _provision(target: Target, prepared: Prepared, out: Output) -> Provisioned:
    group = target.wanted.group
    with out.step(f"provisioning resource group {group!r}") as say:

        def tell(change: ResourceProgress) -> None:
            text = f"{change.kind} {change.name} ({change.elapsed_seconds:.0f}s)"
            if change.ended:
                say.done(text, failed=change.state != "Succeeded")
            else:
                say.now(text)

        provisioned = provision_template(target.clients, group, prepared, tell)
        say(f"resource group {group!r} {'provisioned' if provisioned.changed else 'unchanged'}")
    return provisioned


def _work(target: Target, folder: Path) -> Work:
    clients, group = target.clients, target.wanted.group
    return Work(
        what=f"the deployment in resource group {group!r}",
        begun=lambda: is_running(read_deployment(clients, group)),
        cancel=lambda: cancel_deployment(clients, group),
        cancelled="the deployment; what it had made by then stays",
        again=f"remora provision {folder}",
    )


def _read_template(folder: Path, out: Output) -> dict[str, Any]:
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


def _subscription(
    clients: Clients, wishes: Wishes, config: InferenceConfig, finetuning: FinetuningConfig, out: Output
) -> str:
    """The wish, else what the project's files say, where this cloud knows it; else a question."""
    known = list_subscriptions(clients)
    if not known:
        raise SignInRequired("no subscription is visible to you", hint="sign in with: az login")
    ids = [subscription_id for subscription_id, _ in known]
    if wishes.subscription is not None and wishes.subscription not in ids:
        raise InvalidInput(
            f"subscription {wishes.subscription!r} is not among those that you see: {', '.join(ids)}",
            hint="choose one with --subscription, or sign in to its tenant: az login --tenant TENANT",
            param="--subscription",
        )
    if config.subscription_id is not None and config.subscription_id not in ids:
        out.warn(f"subscription {config.subscription_id} of infra/inference.config.json is not visible here")
    candidates = (wishes.subscription, config.subscription_id, finetuning.subscription_id)
    default = next((candidate for candidate in candidates if candidate in ids), None)
    if wishes.subscription is not None:
        return wishes.subscription
    return out.choose(
        "Subscription", known, default=default, flag="--subscription", variable="AZURE_SUBSCRIPTION_ID"
    )


def _group(
    folder: Path,
    clients: Clients,
    wishes: Wishes,
    config: InferenceConfig,
    finetuning: FinetuningConfig,
    out: Output,
) -> str:
    if wishes.resource_group is not None:
        return wishes.resource_group
    default = config.resource_group or finetuning.resource_group or _group_name(folder)
    return out.ask(
        "Resource group",
        default=default,
        flag="--resource-group",
        variable="AZURE_RESOURCE_GROUP",
        known=lambda: list_groups(clients),
    )


def _group_name(folder: Path) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return f"remora-{words or 'project'}"


def _location(clients: Clients, group: str, wishes: Wishes, out: Output) -> str:
    return wishes.location or out.ask(
        f"Region of the new resource group {group!r}",
        default=clients.profile.default_location or os.environ.get("AZURE_DEFAULTS_LOCATION"),
        flag="--location",
        variable="AZURE_LOCATION",
    )
