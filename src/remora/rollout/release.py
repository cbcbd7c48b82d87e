"""A rollout: sync, new revision, wait, check. Each step is safe to interrupt and to run again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from remora.azure.apps import API_KEY_SECRET, AppState, ContainerApp
from remora.azure.files import Share
from remora.errors import DeploymentNotFound
from remora.rollout import sync
from remora.rollout.check import Checked, check_endpoint
from remora.rollout.contents import Contents
from remora.rollout.endpoint import Endpoint
from remora.rollout.golden import GoldenPrompt
from remora.rollout.plan import SyncPlan

RELEASE_VARIABLE = "REMORA_RELEASE"
ADAPTERS_VARIABLE = "REMORA_ADAPTERS"


class Steps(Protocol):
    """How a rollout says what it is doing; yields a function that rewrites the step's last line."""

    def __call__(self, label: str) -> AbstractContextManager[Callable[[str], None]]: ...


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas the new revision may have."""

    min_replicas: int
    max_replicas: int


@dataclass(slots=True)
class Deployed:
    """What a rollout did. `seconds` is the time of each phase."""

    revision: str
    changed: bool
    uploaded_files: int
    uploaded_bytes: int
    kept_files: int
    url: str
    checked: Sequence[Checked] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def roll_out(
    contents: Contents,
    base_name: str,
    golden: Sequence[GoldenPrompt],
    *,
    app: ContainerApp,
    share: Share,
    scale: Scale,
    endpoint_scheme: str,
    timeout_seconds: float,
    steps: Steps,
) -> Deployed:
    """Bring the share and the app to `contents` and prove it with real answers.

    Nothing changed means no new revision. Raises NotReady where the new revision does not come up (the
    old one goes on serving) and VerificationFailed where the wrong adapter answers.
    """
    seconds: dict[str, float] = {}
    state = app.read()
    api_key = app.secrets().get(API_KEY_SECRET, "")
    with _timed(seconds, "sync"):
        plan = _sync(share, contents, steps)
    wanted = {RELEASE_VARIABLE: contents.release_id, ADAPTERS_VARIABLE: contents.adapter_set}
    changed = not _is_running(state, wanted, scale)
    revision = state.latest_revision
    with _timed(seconds, "revision"), steps("rolling out") as say:
        if changed:
            revision = app.roll_out(wanted, min_replicas=scale.min_replicas, max_replicas=scale.max_replicas)
        elif app.revision(revision).failed:
            app.restart(revision)
        app.wait_until_ready(revision, timeout_seconds=timeout_seconds, progress=say)
        say(f"revision {revision} is ready" if changed else f"revision {revision} is up to date")
    url = f"{endpoint_scheme}://{_fqdn(app)}"
    with _timed(seconds, "check"), steps("asking the endpoint") as say, Endpoint(url, api_key) as endpoint:
        checked = check_endpoint(
            endpoint, base_name, contents.aliases, golden, timeout_seconds=timeout_seconds
        )
        say(f"{len(checked)} models answered through {url}")
    return Deployed(
        revision=revision,
        changed=changed,
        uploaded_files=len(plan.uploads),
        uploaded_bytes=plan.upload_bytes,
        kept_files=len(plan.kept),
        url=url,
        checked=checked,
        seconds=seconds,
    )


def _sync(share: Share, contents: Contents, steps: Steps) -> SyncPlan:
    with steps("comparing with the share") as say:
        plan = sync.prepare(share, contents.files)
        say(f"{len(plan.kept)} files are on the share, {len(plan.uploads)} to upload")
    if plan.uploads:
        total = f"{len(plan.uploads)} files, {plan.upload_bytes:,} bytes"
        with steps(f"uploading {total}") as say:
            sync.upload(share, plan, lambda files, size: say(f"uploaded {files} files, {size:,} bytes"))
    sync.point_aliases(share, contents.aliases)
    return plan


def _is_running(state: AppState, wanted: Mapping[str, str], scale: Scale) -> bool:
    same_scale = (state.min_replicas, state.max_replicas) == (scale.min_replicas, scale.max_replicas)
    return same_scale and all(state.environment.get(name) == value for name, value in wanted.items())


def _fqdn(app: ContainerApp) -> str:
    fqdn = app.read().fqdn
    if not fqdn:
        raise DeploymentNotFound(f"container app {app.name!r} has no ingress", hint="run: remora provision")
    return fqdn


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = time.monotonic() - started
