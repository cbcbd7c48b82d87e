"""`remora status`: what runs, where, and whether it answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.azure.apps import AppState, ContainerApp, Revision
from remora.cli.context import Deployment, FolderArgument, open_deployment
from remora.cli.output import Mode, Output, OutputOption
from remora.errors import DeploymentNotFound, RemoraError
from remora.rollout.failed_step import read_failed_step

app = typer.Typer(add_completion=False)

START_SECONDS = 60.0
_ANSWERS = {True: "yes", None: "asleep: the next request wakes it"}


StartOption = Annotated[
    bool, typer.Option("--start/--no-start", help="Start a local cloud that is not running.")
]


@app.command(epilog="Example: remora status examples/tone --output json")
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
        "image": state.image,
        "image_pulled": deployment.clients.profile.pulls_images,
        "revision": asdict(revision) if revision else None,
        "serving_revision": state.serving_revision,
        "replicas": [asdict(replica) for replica in app_now.replicas(revision.name)] if revision else [],
        **(_asleep() if revision and _is_asleep(state, revision) else _answers(deployment)),
    }
    failed = _failed_command(app_now, shown) if document["answers"] is False else None
    return {**document, "failed_command": failed}


def _failed_command(app_now: ContainerApp, revision: str) -> str | None:
    """Which of the container's commands failed, where the log of the revision tells."""
    step = read_failed_step(app_now, revision) if revision else None
    return str(step) if step else None


def _is_asleep(state: AppState, revision: Revision) -> bool:
    """Scaled to zero. Asking would wake it, and looking must not cost anything."""
    serves = revision.name == state.serving_revision
    return serves and not state.min_replicas and not revision.replicas and not revision.failed


def _asleep() -> dict[str, Any]:
    return {"answers": None, "problem": None, "models": [], "not_served": []}


def _settled(app_now: ContainerApp, name: str, out: Output) -> Revision:
    """The revision, given a moment where it is only just starting (a cloud that came back, say)."""
    revision = app_now.revision(name)
    if revision.health == "Healthy" or revision.failed or not app_now.read().min_replicas:
        return revision
    with out.step(f"waiting for revision {name}") as say:
        try:
            app_now.wait_until_ready(name, timeout_seconds=START_SECONDS, progress=say.now)
            say(f"revision {name} is ready")
        except RemoraError as error:
            say(error.message)
    return app_now.revision(name)


def _answers(deployment: Deployment) -> dict[str, Any]:
    """Whether the endpoint answers, and with which models."""
    try:
        with deployment.endpoint() as endpoint:
            models, changes = endpoint.roster()
    except DeploymentNotFound:
        raise
    except RemoraError as error:
        return {"answers": False, "problem": error.message, "models": [], "not_served": []}
    return {"answers": True, "problem": None, "models": models, "not_served": changes.get("failed") or []}


def _table(document: dict[str, Any]) -> str:
    revision, image = document["revision"] or {}, document["image"]
    replicas = ", ".join(map(_replica, document["replicas"])) or "none"
    models = ", ".join(item["id"] for item in document["models"]) or "none"
    rows = {
        "app": f"{document['app']} in {document['resource_group']} ({document['cloud']})"
        f" {document['provisioning']}",
        "endpoint": document["endpoint"],
        "answers": _ANSWERS.get(document["answers"], f"no: {document['problem']}"),
        "models": models,
        "revision": f"{revision.get('name')} {revision.get('state')} {revision.get('details')}".rstrip(),
        "replicas": replicas,
        "image": image if document["image_pulled"] else f"{image} (not pulled: processes of this machine)",
    }
    if document["not_served"]:
        rows["not served"] = "; ".join(
            f"{item['name']}@{item['digest'][:12]}: {item['problem']}" for item in document["not_served"]
        )
    if document["failed_command"]:
        rows["failed"] = document["failed_command"]
    return "\n".join(f"{name:<10} {value}" for name, value in rows.items())


def _replica(replica: dict[str, str]) -> str:
    details = f": {replica['details']}" if replica["details"] else ""
    return f"{replica['name']} {replica['state']}{details}"
