"""`remora plan`: show what provision and deploy would do. Changes nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from remora.azure.provisioning.provision import Prepared
from remora.azure.provisioning.what_if import ResourceChange, all_new, planned_changes
from remora.cli.commands.deploy import PruneOption
from remora.cli.commands.init import unwritten_files
from remora.cli.commands.provision import check, is_needed, prepare_target, resolved_rows, with_resources
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.plan_release import release_document, release_lines
from remora.cli.price import (
    DEFAULT_REQUESTS_PER_HOUR,
    FRONT_HINT,
    RequestsOption,
    front_line,
    planned_price,
    price_line,
)
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.resolution import resolution_text
from remora.cli.target import (
    GroupOption,
    LocationOption,
    SubscriptionOption,
    Target,
    TargetOptions,
    find_target,
)
from remora.project.toolkit.commands import Program, program_of

app = typer.Typer(add_completion=False)

_NO_RELEASE: dict[str, Any] = {
    "adapters": [],
    "adapter_changes": [],
    "reasons": [],
    "no_room": None,
    "interrupts": False,
    "proof": {},
    "on_share": None,
    "release": None,
    "running_release": None,
    "new_revision": None,
    "uploads": None,
    "unchanged_files": None,
}
"""The user's own program has no release: `deploy` itself compares its files with the share."""
_MARKS = {"Create": "+", "Modify": "~", "Deploy": "~", "Delete": "-", "NoChange": "="}


@app.command(epilog="Example: remora plan examples/tone")
@in_project()
def plan(
    folder: FolderArgument = Path(),
    subscription: SubscriptionOption = None,
    resource_group: GroupOption = None,
    location: LocationOption = None,
    prune: PruneOption = False,
    requests_per_hour: RequestsOption = DEFAULT_REQUESTS_PER_HOUR,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Show what provision and deploy would do, and its price: resources, uploads, new revision or not."""
    out = Output(output, assume_yes=yes)
    unwritten = unwritten_files(folder)
    target = find_target(folder, TargetOptions(subscription, resource_group, location), out, unwritten)
    provision = _provision_document(target, out)
    program = program_of(target.wanted.parameters.get("defaultCommands") or ())
    document = {
        "cloud": target.clients.profile.name,
        "subscription_id": target.clients.subscription_id,
        "files_to_write": sorted(path.as_posix() for path in unwritten),
        **provision,
        "program": program.value,
        "price": planned_price(target, requests_per_hour),
        "sleeps": target.settings.scale.sleeps,
        **(_NO_RELEASE if program is Program.STOCK else release_document(target, out, prune=prune)),
    }
    out.result("plan", document, _text(folder, document))


def _provision_document(target: Target, out: Output) -> dict[str, Any]:
    prepared = prepare_target(target) if target.exists else None
    rows = resolved_rows(target, prepared)
    providers: list[str] = []
    if prepared is None or is_needed(prepared):
        providers = check(target.clients, with_resources(target.wanted, prepared), out)
    return {
        "resource_group": target.wanted.group,
        "location": target.location,
        "new_resource_group": not target.exists,
        "provision": prepared is None or is_needed(prepared),
        "resolved": rows,
        "share_access": {"by_identity": target.access.by_identity, "reason": target.access.reason},
        "providers_to_register": providers,
        "resources": [asdict(change) for change in _changes(target, prepared)],
    }


def _changes(target: Target, prepared: Prepared | None) -> list[ResourceChange]:
    if prepared is None:
        return all_new(target.wanted.template, by_identity=target.access.by_identity)
    if not is_needed(prepared):
        return []
    return planned_changes(target.clients, target.wanted.group, prepared)


def _text(folder: Path, document: dict[str, Any]) -> str:
    group = document["resource_group"]
    where = f"{group} in {document['location']}" + (" (new)" if document["new_resource_group"] else "")
    files = document["files_to_write"]
    lines = [f"Write           {', '.join(files)}"] if files else []
    lines += [f"Resource group  {where}", resolution_text(document["resolved"])]
    if document["share_access"]["by_identity"]:
        lines.append(f"Share           by managed identity, since {document['share_access']['reason']}")
    lines += [f"  + register provider {namespace}" for namespace in document["providers_to_register"]]
    lines += [_resource_line(change) for change in document["resources"]]
    if not document["provision"]:
        lines.append("  = everything matches the template")
    lines.append(f"Price           {price_line(document['price'])}")
    if line := front_line(document["price"]):
        lines.append(f"Front           {line}")
    elif document["sleeps"]:
        lines.append(f"Front           none: {FRONT_HINT}")
    if document["uploads"] is None:
        lines += [
            "Program         AI Toolkit's own, from this folder as it is",
            f"Apply it with: {command_line('up', folder)}",
        ]
        return "\n".join(lines)
    lines += [*release_lines(document), f"Apply it with: {command_line('up', folder)}"]
    return "\n".join(lines)


def _resource_line(change: dict[str, str]) -> str:
    mark = _MARKS.get(change["change"], "?")
    return f"  {mark} {change['kind']} {change['name']}".rstrip()
