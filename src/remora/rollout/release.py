"""A rollout: sync, new revision, wait, check. Each step is safe to interrupt and to run again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from remora.adapters.aliases import AliasSet
from remora.adapters.store import ALIASES
from remora.azure.apps import API_KEY_SECRET, AppState, ContainerApp
from remora.azure.files import Share
from remora.errors import DeploymentNotFound
from remora.rollout import sync
from remora.rollout.check import Checked, check_endpoint
from remora.rollout.contents import Contents
from remora.rollout.endpoint import Endpoint
from remora.rollout.golden import GoldenPrompt
from remora.rollout.plan import SyncPlan
from remora.rollout.restart import Strategy, check_restart, restart_replicas

RELEASE_VARIABLE = "REMORA_RELEASE"
ADAPTERS_VARIABLE = "REMORA_ADAPTERS"


class Step(Protocol):
    """What is said while a step goes on: calling it rewrites the step's last line."""

    def __call__(self, text: str) -> None: ...

    def now(self, text: str) -> None:
        """What is being waited for."""


class Steps(Protocol):
    """How a rollout says what it is doing."""

    def __call__(self, label: str) -> AbstractContextManager[Step]: ...


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


@dataclass(frozen=True, slots=True)
class Planned:
    """What a rollout would do."""

    sync: SyncPlan
    new_revision: bool
    running_release: str | None


class Rollout:
    """One rollout of `contents`: `plan` looks, `run` does it, `undo` brings back what served before."""

    def __init__(self, contents: Contents, *, app: ContainerApp, share: Share, scale: Scale) -> None:
        self._contents = contents
        self._app = app
        self._share = share
        self._scale = scale
        self._wanted = {RELEASE_VARIABLE: contents.release_id, ADAPTERS_VARIABLE: contents.adapter_set}
        self._before: AppState | None = None
        self._aliases_before: bytes | None = None

    @property
    def begun(self) -> bool:
        """Whether anything was changed that a replica would notice."""
        return self._before is not None

    def plan(self) -> Planned:
        """Compare with the share and the app; changes nothing."""
        state = self._app.read()
        plan = sync.prepare(self._share, self._contents.files)
        release = state.environment.get(RELEASE_VARIABLE)
        return Planned(plan, not self._is_running(state), release)

    def run(
        self,
        base_name: str,
        golden: Sequence[GoldenPrompt],
        *,
        endpoint_scheme: str,
        timeout_seconds: float,
        steps: Steps,
        strategy: Strategy = Strategy.REVISION,
    ) -> Deployed:
        """Bring the share and the app to `contents` and prove it with real answers.

        Nothing changed means no new revision. Raises Refused where a restart cannot do it, NotReady where the
        new revision does not come up (the old one goes on serving) and VerificationFailed where the wrong
        adapter answers.
        """
        seconds: dict[str, float] = {}
        state = self._app.read()
        restarts = strategy is Strategy.RESTART
        if restarts:
            running = state.environment.get(RELEASE_VARIABLE)
            check_restart(state, running=running, wanted=self._contents.release_id)
        changed = not restarts and not self._is_running(state)
        with _timed(seconds, "sync"):
            plan = self._sync(state if changed or restarts else None, steps)
        with _timed(seconds, "revision"), steps("rolling out") as say:
            revision = self._roll_out() if changed else state.latest_revision
            if restarts or (not changed and self._app.revision(revision).failed):
                restart_replicas(self._app, revision, timeout_seconds=timeout_seconds, progress=say.now)
            self._app.wait_until_ready(revision, timeout_seconds=timeout_seconds, progress=say.now)
            say(f"revision {revision} is {_became(changed, restarts)}")
        url = f"{endpoint_scheme}://{_fqdn(self._app)}"
        with _timed(seconds, "check"), steps("asking the endpoint") as say:
            checked = self._check(url, base_name, golden, timeout_seconds)
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

    def undo(self) -> None:
        """Serve again what was served before `run`; what was uploaded stays on the share."""
        if self._before is None:
            return
        if self._aliases_before is not None:
            sync.point_aliases(self._share, AliasSet.decode(self._aliases_before, str(ALIASES)).digests)
        if self._is_running(self._app.read()):
            self._app.roll_out(
                {name: self._before.environment.get(name) for name in self._wanted},
                min_replicas=self._before.min_replicas,
                max_replicas=self._before.max_replicas,
            )

    def _sync(self, before: AppState | None, steps: Steps) -> SyncPlan:
        with steps("comparing with the share") as say:
            plan = sync.prepare(self._share, self._contents.files)
            say(f"{len(plan.kept)} files are on the share, {len(plan.uploads)} to upload")
        if plan.uploads:
            total = f"{len(plan.uploads)} files, {plan.upload_bytes:,} bytes"
            with steps(f"uploading {total}") as say:
                sync.upload(
                    self._share, plan, lambda files, size: say(f"uploaded {files} files, {size:,} bytes")
                )
        if before is not None:
            self._aliases_before = self._share.read(ALIASES)
            self._before = before
        sync.point_aliases(self._share, self._contents.aliases)
        return plan

    def _roll_out(self) -> str:
        scale = self._scale
        return self._app.roll_out(
            self._wanted, min_replicas=scale.min_replicas, max_replicas=scale.max_replicas
        )

    def _check(
        self, url: str, base_name: str, golden: Sequence[GoldenPrompt], timeout_seconds: float
    ) -> list[Checked]:
        with Endpoint(url, self._app.secrets().get(API_KEY_SECRET, "")) as endpoint:
            return check_endpoint(
                endpoint, base_name, self._contents.aliases, golden, timeout_seconds=timeout_seconds
            )

    def _is_running(self, state: AppState) -> bool:
        scale = self._scale
        same_scale = (state.min_replicas, state.max_replicas) == (scale.min_replicas, scale.max_replicas)
        return same_scale and all(
            state.environment.get(name) == value for name, value in self._wanted.items()
        )


def _became(changed: bool, restarted: bool) -> str:
    return "restarted" if restarted else "ready" if changed else "up to date"


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
