"""`remora provision`: create or update the cloud resources, and write down where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import typer

from remora.azure.deployment import (
    ResourceProgress,
    cancel_deployment,
    is_running,
    portal_url,
    read_deployment,
)
from remora.azure.gpus import check_gpus
from remora.azure.groups import create_group
from remora.azure.named import named_resources
from remora.azure.preflight import check_storage, missing_providers, register_provider
from remora.azure.profile import Clients
from remora.azure.provision import Prepared, Provisioned, prepare
from remora.azure.provision import provision as provision_template
from remora.azure.template import Wanted
from remora.cli.context import FolderArgument
from remora.cli.interrupt import Work, interruptible
from remora.cli.output import Mode, Output, OutputOption, YesOption
from remora.cli.resolution import Row, resolution_rows, resolution_text
from remora.cli.target import GroupOption, LocationOption, SubscriptionOption, Target, Wishes, find_target
from remora.errors import Refused
from remora.project.config import InferenceConfig, save_inference_config, with_outputs

app = typer.Typer(add_completion=False)


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
    done = provision_project(folder, Wishes(subscription, resource_group, location), out)
    config = done.config
    document = {
        "changed": done.changed,
        "subscription_id": config.subscription_id,
        "resource_group": config.resource_group,
        "storage_account": config.storage_account,
        "file_share": config.file_share,
        "app": config.app,
        "endpoint": config.url,
        "portal_url": done.portal_url,
    }
    shown = {key: value for key, value in document.items() if key != "changed" and value is not None}
    rows = "\n".join(f"  {key:<16} {value}" for key, value in shown.items())
    head = "Provisioned" if done.changed else "Nothing to do: everything is as the template says"
    text = f"{head}\n{rows}\nNext: remora deploy {folder}"
    out.result("provision", {**document, "resolved": done.resolved}, text)


@dataclass(frozen=True, slots=True)
class ProvisionedProject:
    """The config as written, whether anything changed, and what was resolved (see `resolution_rows`).

    `portal_url` is where a browser shows the deployment, on a cloud that has such a place.
    """

    config: InferenceConfig
    changed: bool
    resolved: list[Row]
    portal_url: str | None


def provision_project(folder: Path, wishes: Wishes, out: Output) -> ProvisionedProject:
    """Deploy the project's template, and write down what it made."""
    target = find_target(folder, wishes, out)
    clients, group = target.clients, target.wanted.group
    prepared = prepare_target(target) if target.exists else None
    rows = resolved_rows(target, prepared)
    out.note(resolution_text(rows))
    if prepared is None or is_needed(prepared):
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
    return ProvisionedProject(written, provisioned.changed, rows, portal_url(clients, group))


def is_needed(prepared: Prepared) -> bool:
    """Whether there is anything to deploy that the cloud is not at already."""
    return prepared.outputs is None and not prepared.running


def resolved_rows(target: Target, prepared: Prepared | None) -> list[Row]:
    """What is known of every value before anything happens. Refuses names that cannot be used."""
    wanted = with_resources(target.wanted, prepared)
    named = named_resources(target.clients, wanted) if wanted.resource_ids else ()
    return resolution_rows(target.resolved, named, target.location)


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
