"""`remora provision`: create or update the cloud resources, and write their names to the project."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from remora.azure.app.apps import ContainerApp
from remora.azure.profile import Clients
from remora.azure.provisioning.deployment import (
    ResourceProgress,
    cancel_deployment,
    is_running,
    portal_url,
    read_deployment,
)
from remora.azure.provisioning.gpus import check_gpus
from remora.azure.provisioning.groups import create_group
from remora.azure.provisioning.named import named_resources
from remora.azure.provisioning.preflight import check_storage, missing_providers, register_provider
from remora.azure.provisioning.provision import Prepared, Provisioned, prepare
from remora.azure.provisioning.provision import provision as provision_template
from remora.azure.provisioning.template import Wanted
from remora.cli.commands.init import write_missing
from remora.cli.context import Deployment
from remora.cli.held_app import held_apps
from remora.cli.interrupt import Work, interruptible
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.resolution import Row, resolution_rows, resolution_text
from remora.cli.target import (
    GroupOption,
    LocationOption,
    SubscriptionOption,
    Target,
    TargetOptions,
    find_target,
)
from remora.cli.why.diagnosis import diagnosed
from remora.errors import Locked, Refused
from remora.project.toolkit.config import FRONT_KEY, InferenceConfig, save_inference_config, with_outputs
from remora.rollout.revision.placeholder import placeholders, put_to_sleep

app = typer.Typer(add_completion=False)

VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show every parameter and the origin of its value.")
]


@app.command(epilog="Example: remora provision examples/tone --resource-group my-group")
@in_project()
def provision(
    folder: FolderArgument = Path(),
    subscription: SubscriptionOption = None,
    resource_group: GroupOption = None,
    location: LocationOption = None,
    verbose: VerboseOption = False,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Create or update the cloud resources of infra/provision/inference.bicep."""
    out = Output(output, assume_yes=yes)
    write_missing(folder, out)
    where = TargetOptions(subscription, resource_group, location)
    with diagnosed("provision", folder, out):
        done = provision_project(folder, where, out, verbose=verbose)
    config = done.config
    document = {
        "changed": done.changed,
        "subscription_id": config.subscription_id,
        "resource_group": config.resource_group,
        "storage_account": config.storage_account,
        "file_share": config.file_share,
        "app": config.app,
        "endpoint": config.url,
        "front": config.front,
        "portal_url": done.portal_url,
    }
    shown = {key: value for key, value in document.items() if key != "changed" and value is not None}
    rows = "\n".join(f"  {key:<16} {value}" for key, value in shown.items())
    head = "Provisioned" if done.changed else "Nothing to do: everything matches the template"
    text = f"{head}\n{rows}\nNext: {command_line('deploy', folder)}"
    out.result("provision", {**document, "resolved": done.resolved}, text)


@dataclass(frozen=True, slots=True)
class ProvisionedProject:
    """The config as written, whether anything changed, and the resolved values (see `resolution_rows`).

    `portal_url` shows the deployment in a browser, on a cloud that has a portal.
    """

    config: InferenceConfig
    changed: bool
    resolved: list[Row]
    portal_url: str | None


def provision_project(
    folder: Path,
    options: TargetOptions,
    out: Output,
    *,
    verbose: bool = False,
    first: Callable[[Target], None] = lambda _: None,
) -> ProvisionedProject:
    """Deploy the project's template, and write its outputs. `first` may refuse before any change."""
    target = find_target(folder, options, out)
    first(target)
    clients, group = target.clients, target.wanted.group
    prepared = prepare_target(target) if target.exists else None
    rows = resolved_rows(target, prepared)
    if verbose or not clients.profile.rehearses:
        out.note(resolution_text(rows))
    if target.access.by_identity:
        out.note(f"share: {target.access.line}")
    if prepared is None or is_needed(prepared):
        _preflight(clients, with_resources(target.wanted, prepared), out)
    if target.config.resource_group is None:
        _remember_group(folder, target)
    if prepared is None:
        with out.step(f"creating resource group {group!r} in {target.location}"):
            create_group(clients, group, target.location)
        prepared = prepare_target(target)
    with interruptible(out, _work(target)):
        provisioned = _provision(target, prepared, out)
    removed = _remove_front(target, provisioned, out)
    written = with_outputs(target.config, provisioned.outputs, scheme=clients.profile.endpoint_scheme)
    if written != target.config:
        save_inference_config(folder, written)
    _let_sleep(Deployment(target.settings, written, clients), command_line("provision", folder), out)
    changed = provisioned.changed or removed
    return ProvisionedProject(written, changed, rows, portal_url(clients, group))


def _remove_front(target: Target, provisioned: Provisioned, out: Output) -> bool:
    """Delete the front that the template no longer names: a deployment itself deletes nothing."""
    former = target.config.front
    if former is None or former == provisioned.outputs.get(FRONT_KEY):
        return False
    with out.step(f"deleting the front {former}"):
        ContainerApp(target.clients, target.wanted.group, former).delete()
    return True


def _let_sleep(deployment: Deployment, command: str, out: Output) -> None:
    """Stop first revisions that have no release to run. A rollout that runs meanwhile does so itself."""
    if deployment.config.app is None or not any(map(placeholders, deployment.apps)):
        return
    if deployment.config.missing:  # no deploy of the project can begin yet
        put_to_sleep(deployment.app)
        return
    with suppress(Locked), held_apps(deployment, command, out) as held:
        for each in held:
            put_to_sleep(each)


def _remember_group(folder: Path, target: Target) -> None:
    """Write the group's name before anything is created, so that `down --purge` finds it after a failure."""
    begun = replace(
        target.config, subscription_id=target.clients.subscription_id, resource_group=target.wanted.group
    )
    save_inference_config(folder, begun)


def is_needed(prepared: Prepared) -> bool:
    """Whether the template or its parameters differ from the last deployment."""
    return prepared.outputs is None and not prepared.running


def resolved_rows(target: Target, prepared: Prepared | None) -> list[Row]:
    """What is known of every value before anything changes. Refuses names that cannot be used."""
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
    """The same, with the resources of the template if they are known."""
    return replace(wanted, resource_ids=prepared.resource_ids if prepared else ())


def _preflight(clients: Clients, wanted: Wanted, out: Output) -> None:
    """Refuse what would fail; register providers, once the user agrees."""
    for namespace in check(clients, wanted, out):
        if not out.agrees(f"Register provider {namespace} for the subscription?", default=out.assume_yes):
            raise Refused(
                f"provider {namespace} is not registered for this subscription",
                hint=f"run: az provider register --namespace {namespace}, or pass --yes",
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


def _work(target: Target) -> Work:
    clients, group = target.clients, target.wanted.group
    return Work(
        what=f"the deployment in resource group {group!r}",
        begun=lambda: is_running(read_deployment(clients, group)),
        cancel=lambda: cancel_deployment(clients, group),
        cancelled="the deployment; the resources that it had created stay",
        again="remora provision",
    )
