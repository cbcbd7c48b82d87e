"""`remora adapters`: change which adapters the endpoint serves, without a deploy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.adapters.adapter import Adapter, Digest
from remora.adapters.digest import folder_digest
from remora.adapters.hash_cache import HashCache
from remora.adapters.model_set import remark_notes
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.proof import Proof
from remora.adapters.store import RELEASE_FILE, decode_release, release_folder
from remora.azure.profile import remora_home
from remora.cli.commands.adapter_convert import convert
from remora.cli.commands.adapter_folder import BaseMismatchOption, PathArgument, show, verify
from remora.cli.commands.adapter_merge import merge
from remora.cli.commands.deploy import AllowUnprovenOption
from remora.cli.context import Deployment, open_deployment
from remora.cli.models.adapter_names import AdapterNameArgument
from remora.cli.models.base_option import BaseOption, prepare_base
from remora.cli.models.checkpoints import list_checkpoints
from remora.cli.models.engine_trial import try_adapter
from remora.cli.models.project_models import base_here_or_there, looked_up
from remora.cli.models.share_adapters import list_on_share
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.output.proof_lines import proof_document, proof_text, unknown_proofs
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import AdapterRejected, DeploymentNotFound, InvalidInput, VerificationFailed
from remora.project.workspace import read_base_model
from remora.rollout.gates.following import wait_until_followed
from remora.rollout.gates.proving import prove_adapters
from remora.rollout.golden.prompts import Golden, read_golden
from remora.rollout.revision.candidate import ADAPTERS_VARIABLE, look
from remora.rollout.share.adapter_versions import AdapterVersions, Changed, told
from remora.rollout.share.garbage import GRACE, collect_garbage
from remora.rollout.share.history import read_history
from remora.rollout.share.lock import locked
from remora.rollout.share.owner import check_owner
from remora.rollout.share.repair import repair as rebuild

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Inspect adapter folders; change which adapters the endpoint serves, without a deploy.",
)

app.command(epilog="Example: remora adapters show examples/tone/adapters/tone examples/tone")(show)
app.command(epilog="Example: remora adapters verify examples/tone/adapters/tone examples/tone")(verify)
app.command(epilog="Example: remora adapters convert examples/tone/adapters/tone")(convert)
app.command(
    epilog="Example: remora adapters merge examples/tone/adapters/tone examples/tone --out merged",
)(merge)

FOLLOW_SECONDS = 60.0
PROOF_SECONDS = 120.0

NoWaitOption = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait until the endpoint serves the change.")
]
ShareOption = Annotated[
    bool,
    typer.Option("--share", help="List the adapters that a fine-tuning job left on the share instead."),
]
CheckpointsOption = Annotated[
    bool, typer.Option("--checkpoints", help="Instead list the checkpoints of trainings in the folder.")
]


@app.command(epilog="Example: remora adapters push tone examples/tone/adapters/tone examples/tone")
@in_project()
def push(
    name: AdapterNameArgument,
    path: PathArgument,
    folder: FolderArgument = Path(),
    *,
    allow_base_mismatch: BaseMismatchOption = False,  # noqa: ARG001 - of an earlier release
    allow_unproven: AllowUnprovenOption = False,
    no_wait: NoWaitOption = False,
    base: BaseOption = None,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Upload an adapter and serve it under a name; every replica follows within two seconds.

    If no prompt shows that it changes anything, the push is undone.
    """
    out = Output(output, assume_yes=yes)
    settings = prepare_base(folder, base, out)
    deployment = replace(open_deployment(folder, out), settings=settings)
    hashes = HashCache(remora_home() / "hashes.json")
    with out.step(f"checking {path}") as say:
        adapter = _checked(deployment, name, path, hashes)
        say(f"{name}@{told(adapter.digest)}: {len(adapter.modules)} modules, {adapter.size_bytes:,} bytes")
    for remark in remark_notes([adapter]):
        out.warn(remark)

    def change(versions: AdapterVersions) -> Changed:
        with out.step(f"pushing {name}") as say:
            changed = versions.push(
                adapter, hashes, lambda files, size: say.now(f"{files} files, {size:,} bytes")
            )
            say(f"uploaded {changed.uploaded_files} files, {changed.uploaded_bytes:,} bytes")
        return changed

    golden = read_golden(folder)
    _change(deployment, out, change, no_wait, lambda: _prove(deployment, name, golden, allow_unproven, out))
    hashes.save()


@app.command(epilog="Example: remora adapters alias mood DIGEST examples/tone")
@in_project()
def alias(
    name: AdapterNameArgument,
    digest: Annotated[str, typer.Argument(help="A digest on the share, or its first 8 characters or more.")],
    folder: FolderArgument = Path(),
    *,
    no_wait: NoWaitOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Point a new or existing name to an adapter that is already on the share."""
    out = Output(output)
    _change(open_deployment(folder, out), out, lambda versions: versions.point(name, digest), no_wait)


@app.command(epilog="Example: remora adapters rollback tone examples/tone")
@in_project()
def rollback(
    name: AdapterNameArgument,
    folder: FolderArgument = Path(),
    *,
    no_wait: NoWaitOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Point a name to its previous adapter; run it again to undo that."""
    out = Output(output)
    _change(open_deployment(folder, out), out, lambda versions: versions.rollback(name), no_wait)


@app.command(epilog="Example: remora adapters rm mood examples/tone --yes")
@in_project()
def rm(
    name: AdapterNameArgument,
    folder: FolderArgument = Path(),
    *,
    no_wait: NoWaitOption = False,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Stop serving a name; its files stay on the share until `remora adapters gc`."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    out.confirm(f"Stop serving {name!r}?", assume_yes=yes)
    _change(deployment, out, lambda versions: versions.remove(name), no_wait)


@app.command("list", epilog="Example: remora adapters list examples/tone --output json")
@in_project()
def list_versions(
    folder: FolderArgument = Path(),
    *,
    share: ShareOption = False,
    checkpoints: CheckpointsOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """List every deployed adapter, and what each name points to."""
    out = Output(output)
    if checkpoints:
        list_checkpoints(folder, out)
        return
    if share:
        list_on_share(folder, out)
        return
    found = _versions(open_deployment(folder, out)).versions()
    rows = [
        f"{each.name:<16} {told(each.digest):<14} {each.state:<9} {each.size_bytes:>14,} bytes"
        for each in found
    ]
    document = {"adapters": [asdict(each) for each in found]}
    out.result("adapters.list", document, "\n".join(rows) or "no adapters are on the share")


@app.command(epilog="Example: remora adapters gc examples/tone --dry-run")
@in_project()
def gc(
    folder: FolderArgument = Path(),
    *,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="Keep everything written in the last HOURS hours.")
    ] = GRACE.total_seconds() / 3600,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Remove everything from the share that no name, revision or rollback points to."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    with out.step("looking for unused files") as say:
        share, grace = deployment.share, timedelta(hours=grace_hours)
        garbage = collect_garbage(share, deployment.app, front=deployment.front, grace=grace, dry_run=dry_run)
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


@app.command(epilog="Example: remora adapters repair examples/tone")
@in_project()
def repair(folder: FolderArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Rebuild Remora's damaged files on the share, or put them aside; keep what they hold."""
    out = Output(output)
    deployment = open_deployment(folder, out)
    check_owner(deployment.share, deployment.app)
    with (
        locked(deployment.share, command_line("adapters repair", folder)) as lock,
        out.step("reading the share") as say,
    ):
        done = rebuild(lock)
        say(f"{len(done.files)} files were damaged" if done.files else "nothing is damaged")
    for name in done.lost:
        out.warn(f"{name!r} is no longer served: its files are incomplete; push it again")
    document = {
        "repaired": [str(each.path) for each in done.files if not each.instead],
        "put_aside": [str(each.path) for each in done.files if each.instead],
        "kept": [str(each.kept) for each in done.files if each.kept],
        "aliases": done.aliases,
        "lost": list(done.lost),
    }
    out.result("adapters.repair", document, "\n".join(map(str, done.files)) or "Nothing is damaged")


@app.command(epilog="Example: remora adapters history examples/tone --name tone")
@in_project(formerly="name")
def history(
    folder: FolderArgument = Path(),
    *,
    name: Annotated[str | None, typer.Option(help="Only of this adapter.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many events, newest first.")] = 20,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Show who changed which adapter, when, from what to what, and the result."""
    out = Output(output)
    events = [
        event
        for event in read_history(open_deployment(folder, out).share, most=most)
        if event.what.startswith("adapters ") and name in (None, event.name)
    ]
    rows = [
        f"{event.at[:19]}Z {event.who + '@' + event.host:<20} {event.what:<18} {event.name:<12}"
        f" {event.before[:12] or '-'} → {event.after[:12] or '-'} {event.result} {event.message}".rstrip()
        for event in events
    ]
    document = {"events": [asdict(event) for event in events]}
    out.result("adapters.history", document, "\n".join(rows) or "nothing has happened yet")


def _checked(deployment: Deployment, name: str, path: Path, hashes: HashCache) -> Adapter:
    """The adapter, checked against the endpoint's base model. Raises AdapterRejected before any change."""
    settings = deployment.settings
    with looked_up(settings, lambda: deployment.share) as in_place:
        outline = in_place.outline if in_place else None
        base_name, base = base_here_or_there(settings, outline)
        place = outline.place(base.path) if outline else None
        if name == base_name:
            raise InvalidInput(
                f"{name!r} is the name of the base model", hint="give the adapter another name"
            )
        adapter = inspect_adapter(name, path, base, compares_copies=place is None)
        if place is None:
            try_adapter(base, adapter)
        digest = place.stamp if place else _digest_of(base, hashes)
        _check_served_base(deployment, base, digest)
    return adapter


def _digest_of(base: BaseShape, hashes: HashCache) -> Digest:
    return folder_digest(base.path, read_base_model(base.path).files, sha256=hashes.sha256)


def _check_served_base(deployment: Deployment, base: BaseShape, ours: Digest) -> None:
    """Refuse a push if the project's base model is not the one that the endpoint serves."""
    release_id = look(deployment.app).release
    if not release_id:
        return
    path = release_folder(release_id) / RELEASE_FILE
    data = deployment.share.read(path)
    if data is None:
        return
    theirs = decode_release(data, str(path)).base_digest
    if ours != theirs:
        raise AdapterRejected(
            f"the project's base model {base.path} is {told(ours)}, but the endpoint serves {told(theirs)}",
            hint="run: remora deploy",
        )


def _versions(deployment: Deployment) -> AdapterVersions:
    """The adapters on the share as the app serves them; without an app, as `aliases.json` lists them."""
    try:
        served_set = look(deployment.app).environment.get(ADAPTERS_VARIABLE, "")
    except DeploymentNotFound:
        served_set = ""
    return AdapterVersions(deployment.share, served_set)


def _change(
    deployment: Deployment,
    out: Output,
    change: Callable[[AdapterVersions], Changed],
    no_wait: bool,
    prove: Callable[[], Mapping[str, Proof]] = dict,
) -> None:
    """Make a change, wait until the endpoint has followed, and print the result.

    If `prove` raises, undo the change: the name points to its previous adapter again.
    """
    check_owner(deployment.share, deployment.app)
    versions = _versions(deployment)
    changed = change(versions)
    followed = None if no_wait else _follow(deployment, out, changed)
    try:
        proofs = prove() if followed else {}
    except VerificationFailed:
        if changed.changed:
            with out.step(f"undoing the change of {changed.name}"):
                undone = versions.take_back(changed)
            _follow(deployment, out, undone)
        raise
    what = f"{told(changed.before)} → {told(changed.after)}" if changed.changed else "as it was"
    proven = {name: proof_document(proof) for name, proof in proofs.items()}
    lines = [f"{changed.name}: {what}", *([f"Proof: {proof_text(proven)}"] if proven else [])]
    for warning in unknown_proofs(proven):
        out.warn(warning)
    out.result("adapters.change", {**_document(changed, followed), "proof": proven}, "\n".join(lines))


def _prove(
    deployment: Deployment, name: str, golden: Golden, allow_unproven: bool, out: Output
) -> Mapping[str, Proof]:
    """The proof of the pushed adapter. Raises VerificationFailed."""
    digest = _versions(deployment).aliases().require(name).digest
    with deployment.endpoint() as endpoint:
        return prove_adapters(
            endpoint,
            {name: digest},
            golden,
            out.step,
            timeout_seconds=PROOF_SECONDS,
            allow_unproven=allow_unproven,
        )


def _follow(deployment: Deployment, out: Output, changed: Changed) -> bool | None:
    """Whether the endpoint serves the change; None if no replica runs, because a request would start one."""
    revision = look(deployment.app).serving
    replicas = deployment.app.replicas(revision) if revision else []
    if not replicas:
        out.note("no replica runs; the next one starts with this change")
        return None
    with out.step("waiting for the replicas to follow") as say, deployment.endpoint() as endpoint:
        wait_until_followed(
            endpoint,
            changed.name,
            changed.after,
            former=changed.before,
            replicas=len(replicas),
            timeout_seconds=FOLLOW_SECONDS,
            progress=say.now,
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
