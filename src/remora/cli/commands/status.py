"""`remora status`: show what runs, where, and whether it answers. Wakes nothing."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.azure.app.apps import ContainerApp
from remora.azure.app.readiness import wait_until_ready
from remora.azure.app.state import SHARE_URL_VARIABLE, AppState, Revision
from remora.azure.provisioning.share_access import IDENTITY, KEY
from remora.cli.context import Deployment, open_deployment
from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.output.proof_lines import proof_document, proof_text
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import DeploymentNotFound, RemoraError
from remora.rollout.endpoint import is_alive
from remora.rollout.gates.proving import proofs_of
from remora.rollout.revision.failed_step import read_failed_step

app = typer.Typer(add_completion=False)

START_SECONDS = 60.0
_PROBE = re.compile(r"(?:Readiness|Startup|Liveness) probe failed", re.IGNORECASE)
_ANSWERS = {True: "yes", None: "asleep: the next request wakes it"}


StartOption = Annotated[
    bool, typer.Option("--start/--no-start", help="Start a local cloud that is not running.")
]


@app.command(epilog="Example: remora status examples/tone --output json")
@in_project()
def status(
    folder: FolderArgument = Path(), start: StartOption = True, output: OutputOption = Mode.HUMAN
) -> None:
    """Show the app's revision, replicas, models, and whether the endpoint answers now."""
    out = Output(output)
    deployment = open_deployment(folder, out, start=start)
    document = _document(deployment, out)
    out.result("status", document, _table(document))


def _document(deployment: Deployment, out: Output) -> dict[str, Any]:
    app_now = deployment.app
    state = app_now.read()
    shown = state.serving_revision or state.latest_revision
    revision = _settled(app_now, shown, out) if shown else None
    url = deployment.url()
    document = {
        "cloud": deployment.clients.profile.name,
        "resource_group": deployment.config.resource_group,
        "app": app_now.name,
        "provisioning": state.provisioning,
        "endpoint": f"{url}/v1",
        "front": _front(deployment),
        "image": state.image,
        "image_pulled": deployment.clients.profile.pulls_images,
        "isolated": deployment.clients.profile.isolates,
        "share_access": IDENTITY if SHARE_URL_VARIABLE in state.environment else KEY,
        "revision": _revision(revision) if revision else None,
        "awake": (revision.scale.awake(revision.created) or None) if revision else None,
        "serving_revision": state.serving_revision,
        "replicas": [asdict(replica) for replica in app_now.replicas(revision.name)] if revision else [],
        **_reached(deployment, state, revision),
    }
    if document["answers"]:
        _forget_probes(document)
    failed = _failed_command(app_now, shown) if document["answers"] is False else None
    return {**document, "failed_command": failed}


def _front(deployment: Deployment) -> dict[str, Any] | None:
    """The app before the model's, and whether it answers; asking it wakes nothing."""
    front = deployment.front
    if front is None:
        return None
    try:
        state = front.read()
    except DeploymentNotFound as error:
        return {"app": front.name, "revision": None, "answers": False, "problem": error.message}
    scheme = deployment.clients.profile.endpoint_scheme
    answers = is_alive(f"{scheme}://{state.fqdn}")
    problem = None if answers else "it does not answer; see: remora logs --front"
    return {
        "app": front.name,
        "revision": state.serving_revision or None,
        "answers": answers,
        "problem": problem,
    }


def _revision(revision: Revision) -> dict[str, Any]:
    fields = asdict(revision)
    fields.pop("scale")
    return {
        **fields,
        "min_replicas": revision.scale.min_replicas,
        "max_replicas": revision.scale.max_replicas,
    }


def _failed_command(app_now: ContainerApp, revision: str) -> str | None:
    """Which of the container's commands failed, if the revision's log shows it."""
    step = read_failed_step(app_now, revision) if revision else None
    return str(step) if step else None


def is_asleep(state: AppState, revision: Revision) -> bool:
    """Whether it is scaled to zero. A request would wake it, and `status` must not cost money."""
    serves = revision.name == state.serving_revision
    return serves and not state.scale.min_replicas and not revision.replicas and not revision.failed


def _reached(deployment: Deployment, state: AppState, revision: Revision | None) -> dict[str, Any]:
    """The endpoint's answer; it is asked only if it can answer and is not asleep."""
    if revision is not None and not revision.active:
        problem = f"revision {revision.name} has the traffic and is deactivated; run: remora deploy"
        return _silent(False, problem)
    if revision is not None and is_asleep(state, revision):
        return _silent(None, None)
    return answers_of(deployment)


def _silent(answers: bool | None, problem: str | None) -> dict[str, Any]:
    return {"answers": answers, "problem": problem, "models": [], "not_served": []}


def _settled(app_now: ContainerApp, name: str, out: Output) -> Revision:
    """The revision; waits a moment if it is just starting, for example after the local cloud restarted."""
    revision = app_now.revision(name)
    at_rest = not revision.active or revision.health == "Healthy" or revision.failed
    if at_rest or revision.state == "Stopped" or not app_now.read().scale.min_replicas:
        return revision
    with out.step(f"waiting for revision {name}") as say:
        try:
            wait_until_ready(app_now, name, timeout_seconds=START_SECONDS, say=say)
            say(f"revision {name} is ready")
        except RemoraError as error:
            say(error.message)
    return app_now.revision(name)


def answers_of(deployment: Deployment) -> dict[str, Any]:
    """Whether the endpoint answers, and with which models."""
    try:
        with deployment.endpoint() as endpoint:
            models, changes = endpoint.roster()
    except DeploymentNotFound:
        raise
    except RemoraError as error:
        return _silent(False, error.message)
    return {"answers": True, "problem": None, "models": models, "not_served": changes.get("failed") or []}


def _forget_probes(document: dict[str, Any]) -> None:
    """Drop probe failures from before the endpoint answered; the cloud reports them for minutes."""
    for told in (*document["replicas"], document["revision"] or {}):
        told["details"] = "; ".join(
            part for part in str(told.get("details", "")).split("; ") if not _PROBE.match(part)
        )


def _table(document: dict[str, Any]) -> str:
    revision, image = document["revision"] or {}, document["image"]
    replicas = ", ".join(map(_replica, document["replicas"])) or "none"
    models = ", ".join(item["id"] for item in document["models"]) or "none"
    proofs = {name: proof_document(proof) for name, proof in proofs_of(document["models"]).items()}
    rows = {
        "app": f"{document['app']} in {document['resource_group']} ({document['cloud']})"
        f" {document['provisioning']}",
        "endpoint": document["endpoint"],
        **({"front": _front_text(document["front"])} if document["front"] else {}),
        "answers": _ANSWERS.get(document["answers"], f"no: {document['problem']}"),
        "models": models,
        **({"proof": proof_text(proofs)} if proofs else {}),
        "revision": f"{revision.get('name')} {revision.get('state')} {revision.get('details')}".rstrip(),
        "replicas": replicas,
        **({"awake": document["awake"]} if document["awake"] else {}),
        "image": image if document["image_pulled"] else f"{image} (not pulled: processes of this machine)",
    }
    if document["share_access"] == IDENTITY:
        rows["share"] = "read as the app's managed identity; each replica keeps a copy"
    if not document["isolated"]:
        rows["writes"] = "the container can write wherever you can: this machine has no mount namespaces"
    if document["not_served"]:
        rows["not served"] = "; ".join(
            f"{item['name']}@{item['digest'][:12]}: {item['problem']}" for item in document["not_served"]
        )
    if document["failed_command"]:
        rows["failed"] = document["failed_command"]
    return "\n".join(f"{name:<10} {value}" for name, value in rows.items())


def _front_text(front: dict[str, Any]) -> str:
    return f"{front['app']} {front['problem'] or 'answers while the model sleeps'}"


def _replica(replica: dict[str, str]) -> str:
    details = f": {replica['details']}" if replica["details"] else ""
    return f"{replica['name']} {replica['state']}{details}"
