"""`remora provision`: create or update the cloud resources, and write down where they are."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.azure.bicep import OUR_COMPILER, build
from remora.azure.profile import Clients
from remora.azure.provision import create_group, group_location, list_subscriptions
from remora.azure.provision import provision as provision_template
from remora.cli.context import FolderArgument, connect, read_settings
from remora.cli.output import Mode, Output, OutputOption, YesOption
from remora.errors import InvalidInput, ProjectIncomplete, SignInRequired
from remora.project.config import (
    FinetuningConfig,
    InferenceConfig,
    load_finetuning_config,
    load_inference_config,
    save_inference_config,
    with_outputs,
)
from remora.project.parameters import inherited_names, load_parameters

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
    settings = read_settings(folder)
    template = _read_template(folder, out)
    parameters = load_parameters(folder)
    config, finetuning = load_inference_config(folder), load_finetuning_config(folder)
    clients = connect(settings, out)
    subscription = _subscription(clients, wishes, config, finetuning, out)
    clients = clients.for_subscription(subscription)
    group = _group(folder, wishes, config, finetuning, out)
    _ensure_group(clients, group, wishes, out)
    declared = template.get("parameters", {})
    inherited = inherited_names(folder, finetuning, resource_group=group)
    values = {**{name: value for name, value in inherited.items() if name in declared}, **parameters.values}
    with out.step(f"provisioning resource group {group!r}") as say:
        provisioned = provision_template(clients, group, template, values, say)
        state = "provisioned" if provisioned.changed else "unchanged"
        say(f"resource group {group!r} {state}")
    written = with_outputs(config, provisioned.outputs, scheme=clients.profile.endpoint_scheme)
    if written != config:
        save_inference_config(folder, written)
    return written, provisioned.changed


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
            f"subscription {wishes.subscription!r} is not among yours: {', '.join(ids)}",
            hint="choose one with --subscription",
            param="--subscription",
        )
    candidates = (wishes.subscription, config.subscription_id, finetuning.subscription_id)
    default = next((candidate for candidate in candidates if candidate in ids), None)
    if wishes.subscription is not None:
        return wishes.subscription
    return out.choose(
        "Subscription", known, default=default, flag="--subscription", variable="AZURE_SUBSCRIPTION_ID"
    )


def _group(
    folder: Path, wishes: Wishes, config: InferenceConfig, finetuning: FinetuningConfig, out: Output
) -> str:
    if wishes.resource_group is not None:
        return wishes.resource_group
    default = config.resource_group or finetuning.resource_group or _group_name(folder)
    return out.ask(
        "Resource group", default=default, flag="--resource-group", variable="AZURE_RESOURCE_GROUP"
    )


def _group_name(folder: Path) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return f"remora-{words or 'project'}"


def _ensure_group(clients: Clients, group: str, wishes: Wishes, out: Output) -> None:
    if group_location(clients, group) is not None:
        return
    location = wishes.location or out.ask(
        f"Region of the new resource group {group!r}",
        default=clients.profile.default_location or os.environ.get("AZURE_DEFAULTS_LOCATION"),
        flag="--location",
        variable="AZURE_LOCATION",
    )
    with out.step(f"creating resource group {group!r} in {location}"):
        create_group(clients, group, location)
