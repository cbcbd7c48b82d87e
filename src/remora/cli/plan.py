"""`remora plan`: what provision and deploy would do, before anything happens."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from remora.azure.provision import Prepared
from remora.azure.what_if import ResourceChange, all_new, planned_changes
from remora.cli.context import Deployment, FolderArgument
from remora.cli.deploy import read_project, rollout_of
from remora.cli.output import Mode, Output, OutputOption, YesOption
from remora.cli.provision import check, is_needed, prepare_target, resolved_rows, with_resources
from remora.cli.resolution import resolution_text
from remora.cli.target import GroupOption, LocationOption, SubscriptionOption, Target, Wishes, find_target
from remora.errors import DeploymentNotFound
from remora.project.commands import Program, program_of
from remora.rollout.contents import Contents
from remora.rollout.release import Planned

app = typer.Typer(add_completion=False)

_NO_RELEASE: dict[str, Any] = {
    "adapters": [],
    "release": None,
    "running_release": None,
    "new_revision": None,
    "uploads": None,
    "unchanged_files": None,
}
"""A program of the workspace has no release: `deploy` compares its files with the share as it goes."""
_MARKS = {"Create": "+", "Modify": "~", "Deploy": "~", "Delete": "-", "NoChange": "="}


@app.command(epilog="Example: remora plan examples/tone")
def plan(
    folder: FolderArgument = Path(),
    subscription: SubscriptionOption = None,
    resource_group: GroupOption = None,
    location: LocationOption = None,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Show what provision and deploy would do: resources, files to upload, new revision or not."""
    out = Output(output, assume_yes=yes)
    target = find_target(folder, Wishes(subscription, resource_group, location), out)
    provision = _provision_document(target, out)
    program = program_of(target.wanted.parameters.get("defaultCommands") or ())
    document = {
        "cloud": target.clients.profile.name,
        "subscription_id": target.clients.subscription_id,
        **provision,
        "program": program.value,
        **(_NO_RELEASE if program is Program.STOCK else _release_document(target, out)),
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
        "providers_to_register": providers,
        "resources": [asdict(change) for change in _changes(target, prepared)],
    }


def _release_document(target: Target, out: Output) -> dict[str, Any]:
    with out.step("reading the project"):
        models, contents = read_project(target.settings)
    with out.step("comparing with what is deployed"):
        planned = _planned(target, contents)
    adapters = [adapter.name for adapter in models.adapters]
    return {"adapters": adapters, **_rollout_document(contents, planned)}


def _changes(target: Target, prepared: Prepared | None) -> list[ResourceChange]:
    if prepared is None:
        return all_new(target.wanted.template)
    if not is_needed(prepared):
        return []
    return planned_changes(target.clients, target.wanted.group, prepared)


def _planned(target: Target, contents: Contents) -> Planned | None:
    """What a rollout would do to the app that is there; None where there is none yet."""
    if target.config.missing or not target.exists:
        return None
    try:
        return rollout_of(Deployment(target.settings, target.config, target.clients), contents).plan()
    except DeploymentNotFound:
        return None


def _rollout_document(contents: Contents, planned: Planned | None) -> dict[str, Any]:
    uploads = planned.sync.uploads if planned else contents.files
    return {
        "release": contents.release_id,
        "running_release": planned.running_release if planned else None,
        "new_revision": planned is None or planned.new_revision,
        "uploads": {"files": len(uploads), "bytes": sum(file.size_bytes for file in uploads)},
        "unchanged_files": len(contents.files) - len(uploads),
    }


def _text(folder: Path, document: dict[str, Any]) -> str:
    group, uploads = document["resource_group"], document["uploads"]
    where = f"{group} in {document['location']}" + (" (new)" if document["new_resource_group"] else "")
    lines = [f"Resource group  {where}", resolution_text(document["resolved"])]
    lines += [f"  + register provider {namespace}" for namespace in document["providers_to_register"]]
    lines += [_resource_line(change) for change in document["resources"]]
    if not document["provision"]:
        lines.append("  = everything is as the template says")
    if uploads is None:
        lines += [
            "Program         AI Toolkit's own, from this folder as it is",
            f"Do it with: remora up {folder}",
        ]
        return "\n".join(lines)
    files = f"{uploads['files']} files, {uploads['bytes']:,} bytes"
    lines.append(f"Upload          {files}; {document['unchanged_files']} are there already")
    revision = "a new one" if document["new_revision"] else "none: what runs is up to date"
    lines += [f"Revision        {revision}", f"Do it with: remora up {folder}"]
    return "\n".join(lines)


def _resource_line(change: dict[str, str]) -> str:
    mark = _MARKS.get(change["change"], "?")
    return f"  {mark} {change['kind']} {change['name']}".rstrip()
