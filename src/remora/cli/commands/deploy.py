"""`remora deploy`: sync changed files, roll out a new revision, wait for a real answer.

Owns the options and the project's side; the steps of a rollout are in `rollout/deploy.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from remora.adapters.model_set import remark_notes
from remora.azure.app.scale import wanted_scale
from remora.cli.commands.start import start_if_stopped
from remora.cli.compare.measured_rollout import measuring_for
from remora.cli.context import Deployment, open_deployment
from remora.cli.deploy_front import check_front_made, check_no_front, with_front
from remora.cli.deploy_program import program_payload, reachable
from remora.cli.keyless import check_pullable
from remora.cli.models.project_models import read_project
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.output.proof_lines import unknown_proofs
from remora.cli.panel import deployed_document, deployed_panel
from remora.cli.price import deployed_price
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.why.diagnosis import diagnosed
from remora.errors import Interrupted, InvalidInput, RemoraError
from remora.project.toolkit.config import save_inference_config
from remora.rollout.deploy import Deployed, Rollout
from remora.rollout.gates.gates import Gates
from remora.rollout.golden.prompts import Golden, examples_of, read_golden
from remora.rollout.payload import Payload
from remora.rollout.program.payload import WORKSPACE_VARIABLE
from remora.rollout.release import ReleasePayload
from remora.rollout.revision.app_shape import AppShape, check_remora
from remora.rollout.revision.candidate import RELEASE_VARIABLE, look
from remora.rollout.revision.restart import Strategy
from remora.rollout.share.adapter_plan import Removal
from remora.rollout.share.contents import Contents
from remora.rollout.share.lock import HeldLock, locked
from remora.rollout.share.part import Part, narrowed, part_of
from remora.rollout.undo import Switched

app = typer.Typer(add_completion=False)

TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=1, help="How many seconds a new revision may take to answer.")
]
StrategyOption = Annotated[
    Strategy,
    typer.Option(
        "--strategy",
        help="Start a new revision beside the old one; stop the old one first, if there is room for only one;"
        " or restart the replicas, as AI Toolkit does.",
    ),
]
CodeOnlyOption = Annotated[
    bool, typer.Option("--code-only", help="Deploy code and settings; the adapters stay as they are.")
]
AdaptersOnlyOption = Annotated[
    bool, typer.Option("--adapters-only", help="Deploy the adapters; code and settings stay as they are.")
]
PruneOption = Annotated[
    bool,
    typer.Option("--prune", help="Remove adapters that the folder does not have, including pushed ones."),
]
AllowUnprovenOption = Annotated[
    bool,
    typer.Option(
        "--allow-unproven", help="Serve an adapter even if no prompt shows that it changes anything."
    ),
]
CompareOption = Annotated[
    bool,
    typer.Option(
        "--compare", help="Compare the new revision with what serves before the switch: comparison.html."
    ),
]
TtlOption = Annotated[
    str | None,
    typer.Option(
        "--ttl", help="Let the app sleep this long after the deploy, such as 8h; instead of [scale] ttl."
    ),
]
TIMEOUT_SECONDS = 1200.0


@dataclass(frozen=True, slots=True)
class DeployOptions:
    """Which part of the project to deploy, and how."""

    timeout_seconds: float = TIMEOUT_SECONDS
    strategy: Strategy = Strategy.REVISION
    part: Part = Part.EVERYTHING
    prune: bool = False
    allow_unproven: bool = False
    compares: bool = False
    ttl: str | None = None


@app.command(epilog="Example: remora deploy examples/tone --adapters-only --strategy restart")
@in_project()
def deploy(
    folder: FolderArgument = Path(),
    strategy: StrategyOption = Strategy.REVISION,
    code_only: CodeOnlyOption = False,
    adapters_only: AdaptersOnlyOption = False,
    prune: PruneOption = False,
    allow_unproven: AllowUnprovenOption = False,
    compare: CompareOption = False,
    ttl: TtlOption = None,
    timeout: TimeoutOption = TIMEOUT_SECONDS,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Sync changed files, check a new revision with the golden prompts, and switch the traffic to it."""
    out = Output(output, assume_yes=yes)
    part = part_of(code_only=code_only, adapters_only=adapters_only)
    options = DeployOptions(timeout, strategy, part, prune, allow_unproven, compare, ttl)
    with diagnosed("deploy", folder, out):
        deployed = deploy_project(folder, out, options)
    show_deployed(folder, deployed, out)


def deploy_project(folder: Path, out: Output, options: DeployOptions) -> Deployed:
    """Deploy the project in a folder, or a part of it; what is up to date stays untouched."""
    deployment = with_ttl(open_deployment(folder, out), options.ttl)
    start_if_stopped(deployment, command_line("deploy", folder), out)
    shape, mount = reachable(deployment)
    try:
        if shape.runs_workspace(folder, mount):
            _check_no_ttl(options.ttl)
            check_no_front(deployment)
            payload = program_payload(
                folder, shape, mount, options.part, out, timeout_seconds=options.timeout_seconds
            )
            deployed = _roll_out(folder, deployment, lambda _: payload, options, out)
        else:
            check_remora(shape, mount)
            check_front_made(deployment)
            deployed = _deploy_release(folder, deployment, options, out, shape)
    except KeyboardInterrupt:
        kept = (
            "the previous revision still serves" if _serves(deployment) else "nothing has been deployed yet"
        )
        raise Interrupted(
            f"interrupted; {kept}, and uploaded files are kept for the next deploy",
            hint="start again with: remora deploy",
        ) from None
    with _switched(deployed).told():
        _remember_endpoint(folder, deployment, deployed.url)
    return deployed


def _switched(deployed: Deployed) -> Switched:
    return Switched(deployed.revision if deployed.changed else "")


def _check_no_ttl(ttl: str | None) -> None:
    if ttl is not None:
        raise InvalidInput(
            f"--ttl {ttl}: the app runs a program of your own, whose scale deploy leaves as it is",
            hint="leave out --ttl, or stop the app when you are done: remora stop",
            param="--ttl",
        )


def with_ttl(deployment: Deployment, ttl: str | None) -> Deployment:
    """The deployment with another time to live than its settings say. Raises InvalidInput."""
    if ttl is None:
        return deployment
    settings = deployment.settings
    return replace(deployment, settings=replace(settings, scale=settings.scale.with_ttl(ttl)))


def _serves(deployment: Deployment) -> bool:
    """Whether an earlier deploy has completed. If the cloud cannot be reached, assume that one has."""
    try:
        known = look(deployment.app).environment
    except RemoraError:
        return True
    return bool(known.get(RELEASE_VARIABLE) or known.get(WORKSPACE_VARIABLE))


def _deploy_release(
    folder: Path, deployment: Deployment, options: DeployOptions, out: Output, shape: AppShape
) -> Deployed:
    with out.step("reading the project") as say:
        project = read_project(deployment.settings, lambda: deployment.share)
        models, contents = project.models, project.contents
        say(f"{len(models.adapters)} adapters on {models.base_name}")
    check_pullable(shape, contents)
    for line in remark_notes(models.adapters):
        out.warn(line)
    for line in project.on_share.lines() if project.on_share else ():
        out.note(line)
    golden = read_golden(folder)

    def payload(lock: HeldLock) -> Payload:
        """Take all but `options.part` from the deployed release; read under the lock, so it cannot change."""
        whole = options.part is Part.EVERYTHING
        narrow = contents if whole else narrowed(contents, options.part, look(deployment.app), lock.share)
        return release_payload(deployment, models.base_name, narrow, golden, options)

    return _roll_out(folder, deployment, payload, options, out)


def _roll_out(
    folder: Path,
    deployment: Deployment,
    payload: Callable[[HeldLock], Payload],
    options: DeployOptions,
    out: Output,
) -> Deployed:
    switched = Switched()
    with switched.told(), locked(deployment.share, command_line("deploy", folder)) as lock:
        rollout = Rollout(
            payload(lock),
            deployment.app,
            lock,
            endpoint_scheme=deployment.clients.profile.endpoint_scheme,
            timeout_seconds=options.timeout_seconds,
            steps=out.step,
            choose=lambda why: out.agrees(f"{why}. Stop the serving revision first?", default=False),
            switched=switched,
        )
        deployed = rollout.run(options.strategy)
        return with_front(deployment, deployed, lock, out, timeout_seconds=options.timeout_seconds)


def release_payload(
    deployment: Deployment, base_name: str, contents: Contents, golden: Golden, options: DeployOptions
) -> ReleasePayload:
    """The payload for these contents."""
    gates = Gates(
        deployment.app,
        base_name,
        golden,
        timeout_seconds=options.timeout_seconds,
        allow_unproven=options.allow_unproven,
        measuring=measuring_for(deployment, base_name, report=options.compares),
    )
    removal = Removal(options.prune, deployment.settings.model.removed_adapters)
    examples = examples_of(golden)
    return ReleasePayload(contents, wanted_scale(deployment.settings.scale), gates, removal, examples)


def show_deployed(folder: Path, deployed: Deployed, out: Output) -> None:
    """Print the final panel. Raises Interrupted on Ctrl+C."""
    with _switched(deployed).told():
        _show_deployed(folder, deployed, out)


def _show_deployed(folder: Path, deployed: Deployed, out: Output) -> None:
    document = deployed_document(folder.resolve().name, str(folder), deployed)
    document |= {"awake": None, "price": None}
    with suppress(RemoraError):  # what was deployed serves, and both can be asked for again
        deployment = open_deployment(folder, out)
        deployed_app = deployment.app
        revision = deployed_app.revision(deployed.revision)
        document["awake"] = revision.scale.awake(revision.created) or None
        document["price"] = deployed_price(deployed_app, front=deployment.front is not None)
    for warning in unknown_proofs(document["proof"]):
        out.warn(warning)
    out.result("deploy", document, deployed_panel(document))


def _remember_endpoint(folder: Path, deployment: Deployment, url: str) -> None:
    """Update the config file: it may have been filled in by hand, or the endpoint may have moved."""
    parts = urlsplit(url)
    known = replace(deployment.config, endpoint=parts.netloc, endpoint_scheme=parts.scheme)
    if known != deployment.config:
        save_inference_config(folder, known)
