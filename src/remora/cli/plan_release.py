"""The half of a plan that deploy would carry out: files, adapters, revision, free capacity and proof."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from remora.adapters.proof import Proof
from remora.azure.share.files import Share
from remora.cli.commands.deploy import DeployOptions, release_payload
from remora.cli.context import Deployment
from remora.cli.keyless import check_planned
from remora.cli.models.named_share import named_share, open_named
from remora.cli.models.project_models import models_here, on_share_document, read_project
from remora.cli.output.console import Output
from remora.cli.output.proof_lines import proof_document, proof_text
from remora.cli.target import Target
from remora.errors import DeploymentNotFound, RemoraError
from remora.rollout.gates.proving import proofs_of
from remora.rollout.golden.prompts import Golden
from remora.rollout.outlook import Planned, look_ahead
from remora.rollout.revision.candidate import look
from remora.rollout.share.adapter_plan import AdapterChange
from remora.rollout.share.contents import Contents

_UNMEASURED = Proof("pending", problem="it is measured at the deploy")


def release_document(target: Target, out: Output, *, prune: bool) -> dict[str, Any]:
    """What a deploy of the project would do to the existing app, or to a new one."""
    if (found := models_here(target.settings)) is not None:
        check_planned(target, found)
    with out.step("reading the project"):
        project = read_project(target.settings, lambda: _share(target, out))
        models, contents = project.models, project.contents
    for line in project.on_share.lines() if project.on_share else ():
        out.note(line)
    deployment = Deployment(target.settings, target.config, target.clients)
    planned = None
    if target.exists and not target.config.missing:
        payload = release_payload(
            deployment, models.base_name, contents, Golden(), DeployOptions(prune=prune)
        )
        try:
            planned = look_ahead(payload, deployment.app, deployment.share, out.step)
        except DeploymentNotFound:  # it was provisioned once and has been deleted
            planned = None
    document = _new(contents) if planned is None else _compared(deployment, planned)
    adapters = [adapter.name for adapter in models.adapters]
    return {
        "adapters": adapters,
        "on_share": on_share_document(project.on_share),
        "release": contents.release_id,
        **document,
    }


def release_lines(document: dict[str, Any]) -> Iterator[str]:
    """The same as lines of text."""
    uploads = document["uploads"]
    files = f"{uploads['files']} files, {uploads['bytes']:,} bytes"
    yield f"Upload          {files}; {document['unchanged_files']} are already there"
    for change in document["adapter_changes"]:
        yield f"Adapter         {change['text']}"
    if document["proof"]:
        yield f"Proof           {proof_text(document['proof'])}"
    why = "; ".join(document["reasons"])
    yield f"Revision        {f'a new one: {why}' if why else 'none: what runs is up to date'}"
    if document["no_room"]:
        yield f"Room            {document['no_room']}"
        if document["interrupts"]:
            yield "                the serving revision must stop first: remora deploy --strategy in-place"


def _share(target: Target, out: Output) -> Share | None:
    """The project's share, which a fine-tuning step may have created before anything was provisioned."""
    named = named_share(target.settings.root)
    return open_named(named, target.settings.root, out) if named else None


def _new(contents: Contents) -> dict[str, Any]:
    changes = [
        AdapterChange(name, None, digest, "as in the folder") for name, digest in contents.aliases.items()
    ]
    return {
        "adapter_changes": [_change(one) for one in changes],
        "running_release": None,
        "new_revision": True,
        "reasons": ["nothing has been deployed yet"],
        "no_room": None,
        "interrupts": False,
        "proof": {},
        "uploads": {"files": len(contents.files), "bytes": sum(file.size_bytes for file in contents.files)},
        "unchanged_files": 0,
    }


def _compared(deployment: Deployment, planned: Planned) -> dict[str, Any]:
    load = planned.load
    return {
        "adapter_changes": [_change(one) for one in load.adapters],
        "running_release": planned.running or None,
        "new_revision": not load.served,
        "reasons": list(load.reasons),
        "no_room": planned.no_room or None,
        "interrupts": planned.interrupts,
        "proof": {name: proof_document(proof) for name, proof in _proofs(deployment, planned).items()},
        "uploads": {"files": load.upload_files, "bytes": load.upload_bytes},
        "unchanged_files": load.kept_files,
    }


def _change(change: AdapterChange) -> dict[str, Any]:
    return {
        "name": change.name,
        "what": change.what,
        "from": change.before,
        "to": change.after,
        "why": change.why,
        "text": str(change),
    }


def _proofs(deployment: Deployment, planned: Planned) -> dict[str, Proof]:
    """What the endpoint has measured for the adapters that stay; this must not wake a sleeping endpoint."""
    known: dict[str, Proof] = {}
    serving = look(deployment.app).serving
    if serving and any(replica.ready for replica in deployment.app.replicas(serving)):
        try:
            with deployment.endpoint() as endpoint:
                known = proofs_of(endpoint.models())
        except RemoraError:  # a plan must work even if the endpoint does not
            known = {}
    return {
        one.name: known.get(one.name, _UNMEASURED) if one.what == "stays" else _UNMEASURED
        for one in planned.load.adapters
        if one.after is not None
    }
