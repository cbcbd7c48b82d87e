"""`remora adapters`: which adapters the endpoint serves, changed without a deploy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.adapters.adapter import Adapter
from remora.adapters.base_shape import BaseShape
from remora.adapters.digest import folder_digest
from remora.adapters.hash_cache import HashCache
from remora.adapters.inspect import inspect_adapter
from remora.adapters.model_set import base_of_project
from remora.adapters.store import RELEASE_FILE, decode_release, release_folder
from remora.azure.profile import remora_home
from remora.cli.adapter_folder import BaseMismatchOption, PathArgument, ProjectOption, show, verify
from remora.cli.context import Deployment, open_deployment
from remora.cli.output import Mode, Output, OutputOption, YesOption
from remora.errors import AdapterRejected, DeploymentNotFound, InvalidInput
from remora.project.workspace import read_base_model
from remora.rollout.adapter_versions import AdapterVersions, Changed, told
from remora.rollout.candidate import ADAPTERS_VARIABLE, look
from remora.rollout.following import wait_until_followed
from remora.rollout.garbage import GRACE, collect_garbage
from remora.rollout.history import read_history
from remora.rollout.owner import check_owner

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Look at adapter folders; change which adapters the endpoint serves, without a deploy.",
)

app.command(epilog="Example: remora adapters show adapters/tone")(show)
app.command(epilog="Example: remora adapters verify adapters/tone")(verify)

FOLLOW_SECONDS = 60.0

NameArgument = Annotated[str, typer.Argument(help="The adapter's name: what clients ask for.")]
NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait until the endpoint serves what was changed.")
]


@app.command(epilog="Example: remora adapters push tone outputs/checkpoint-400")
def push(
    name: NameArgument,
    path: PathArgument,
    *,
    project: ProjectOption = Path(),
    allow_base_mismatch: BaseMismatchOption = False,
    no_wait: NoWaitOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Put an adapter on the share and serve it under a name; every replica follows within two seconds."""
    out = Output(output)
    deployment = open_deployment(project, out)
    hashes = HashCache(remora_home() / "hashes.json")
    with out.step(f"checking {path}") as say:
        adapter = _checked(deployment, name, path, hashes, allow_base_mismatch)
        say(f"{name}@{told(adapter.digest)}: {len(adapter.modules)} modules, {adapter.size_bytes:,} bytes")

    def change(versions: AdapterVersions) -> Changed:
        with out.step(f"pushing {name}") as say:
            changed = versions.push(
                adapter, hashes, lambda files, size: say.now(f"{files} files, {size:,} bytes")
            )
            say(f"uploaded {changed.uploaded_files} files, {changed.uploaded_bytes:,} bytes")
        return changed

    _change(deployment, out, change, no_wait)
    hashes.save()


@app.command(epilog="Example: remora adapters alias tone 3f9a12cd34ef")
def alias(
    name: NameArgument,
    digest: Annotated[str, typer.Argument(help="A digest on the share, or its first 8 characters or more.")],
    *,
    project: ProjectOption = Path(),
    no_wait: NoWaitOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Point a name, new or old, to an adapter that is on the share already."""
    out = Output(output)
    _change(open_deployment(project, out), out, lambda versions: versions.point(name, digest), no_wait)


@app.command(epilog="Example: remora adapters rollback tone")
def rollback(
    name: NameArgument,
    *,
    project: ProjectOption = Path(),
    no_wait: NoWaitOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Point a name to what it pointed to before; run again, it goes forth again."""
    out = Output(output)
    _change(open_deployment(project, out), out, lambda versions: versions.rollback(name), no_wait)


@app.command(epilog="Example: remora adapters rm tone --yes")
def rm(
    name: NameArgument,
    *,
    project: ProjectOption = Path(),
    no_wait: NoWaitOption = False,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Serve a name no more; its files stay on the share until `remora adapters gc`."""
    out = Output(output)
    deployment = open_deployment(project, out)
    out.confirm(f"Serve {name!r} no more?", assume_yes=yes)
    _change(deployment, out, lambda versions: versions.remove(name), no_wait)


@app.command("list", epilog="Example: remora adapters list --output json")
def list_versions(project: ProjectOption = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """List every adapter on the share, and what each name points to."""
    out = Output(output)
    found = _versions(open_deployment(project, out)).versions()
    rows = [
        f"{each.name:<16} {told(each.digest):<14} {each.state:<9} {each.size_bytes:>14,} bytes"
        for each in found
    ]
    document = {"adapters": [asdict(each) for each in found]}
    out.result("adapters.list", document, "\n".join(rows) or "no adapters are on the share")


@app.command(epilog="Example: remora adapters gc --dry-run")
def gc(
    *,
    project: ProjectOption = Path(),
    grace_hours: Annotated[
        float, typer.Option(min=0, help="Keep what was written in the last so many hours.")
    ] = GRACE.total_seconds() / 3600,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Remove from the share what no name, no revision and no rollback points to."""
    out = Output(output)
    deployment = open_deployment(project, out)
    with out.step("looking for what nothing points to") as say:
        garbage = collect_garbage(
            deployment.share, deployment.app, grace=timedelta(hours=grace_hours), dry_run=dry_run
        )
        verb = "would remove" if dry_run else "removed"
        say(f"{verb} {len(garbage.folders)} folders and {len(garbage.files)} files")
    document = {
        "removed": not dry_run,
        "folders": list(map(str, garbage.folders)),
        "files": list(map(str, garbage.files)),
        "size_bytes": garbage.size_bytes,
    }
    gone = [str(path) for path in (*garbage.folders, *garbage.files)]
    out.result("adapters.gc", document, "\n".join([*gone, f"{garbage.size_bytes:,} bytes"]))


@app.command(epilog="Example: remora adapters history tone")
def history(
    name: Annotated[str | None, typer.Argument(help="Only of this adapter.")] = None,
    *,
    project: ProjectOption = Path(),
    most: Annotated[int, typer.Option("--most", min=1, help="How many events, newest first.")] = 20,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Who changed which adapter, when, from what to what, and how it ended."""
    out = Output(output)
    events = [
        event
        for event in read_history(open_deployment(project, out).share, most=most)
        if event.what.startswith("adapters ") and name in (None, event.name)
    ]
    rows = [
        f"{event.at[:19]}Z {event.who + '@' + event.host:<20} {event.what:<18} {event.name:<12}"
        f" {event.before[:12] or '-'} → {event.after[:12] or '-'} {event.result} {event.message}".rstrip()
        for event in events
    ]
    document = {"events": [asdict(event) for event in events]}
    out.result("adapters.history", document, "\n".join(rows) or "nothing has happened yet")


def _checked(
    deployment: Deployment, name: str, path: Path, hashes: HashCache, allow_base_mismatch: bool
) -> Adapter:
    """The adapter, fit for the base that the endpoint serves. Raises AdapterRejected before any change."""
    base_name, base = base_of_project(deployment.settings)
    if name == base_name:
        raise InvalidInput(f"{name!r} is the name of the base model", hint="give the adapter another name")
    adapter = inspect_adapter(name, path, base, allow_base_mismatch=allow_base_mismatch)
    _check_served_base(deployment, base, hashes)
    return adapter


def _check_served_base(deployment: Deployment, base: BaseShape, hashes: HashCache) -> None:
    """The project's base model must be the one that the endpoint serves."""
    release_id = look(deployment.app).release
    if not release_id:
        return
    path = release_folder(release_id) / RELEASE_FILE
    data = deployment.share.read(path)
    if data is None:
        return
    files = read_base_model(base.path).files
    ours, theirs = (
        folder_digest(base.path, files, sha256=hashes.sha256),
        decode_release(data, str(path)).base_digest,
    )
    if ours != theirs:
        raise AdapterRejected(
            f"the project's base model {base.path} is {told(ours)}, but the endpoint serves {told(theirs)}",
            hint="run: remora deploy",
        )


def _versions(deployment: Deployment) -> AdapterVersions:
    """The adapters on the share, as the app serves them; without an app, as `aliases.json` says."""
    try:
        served_set = look(deployment.app).environment.get(ADAPTERS_VARIABLE, "")
    except DeploymentNotFound:
        served_set = ""
    return AdapterVersions(deployment.share, served_set)


def _change(
    deployment: Deployment, out: Output, change: Callable[[AdapterVersions], Changed], no_wait: bool
) -> None:
    """Make a change, wait until the endpoint has followed, and say what is so now."""
    check_owner(deployment.share, deployment.app)
    changed = change(_versions(deployment))
    followed = None if no_wait else _follow(deployment, out, changed)
    what = f"{told(changed.before)} → {told(changed.after)}" if changed.changed else "as it was"
    out.result("adapters.change", _document(changed, followed), f"{changed.name}: {what}")


def _follow(deployment: Deployment, out: Output, changed: Changed) -> bool | None:
    """Whether the endpoint serves the change; None where nothing runs that could: asking would wake it."""
    revision = look(deployment.app).serving
    if not revision or not deployment.app.replicas(revision):
        out.note("no replica runs; the next one starts with this")
        return None
    with out.step("waiting for the replicas to follow") as say, deployment.endpoint() as endpoint:
        wait_until_followed(
            endpoint, changed.name, changed.after, timeout_seconds=FOLLOW_SECONDS, progress=say.now
        )
        say(f"{changed.name} is {told(changed.after)} on the endpoint")
    return True


def _document(changed: Changed, followed: bool | None) -> dict[str, Any]:
    return {
        "name": changed.name,
        "from": changed.before,
        "to": changed.after,
        "changed": changed.changed,
        "generation": changed.generation,
        "uploaded_files": changed.uploaded_files,
        "uploaded_bytes": changed.uploaded_bytes,
        "followed": followed,
    }
