"""A rollout: sync, a candidate without traffic, check, switch, check again. Something serves all the time.

Up to the switch nobody notices anything. What ends a rollout before its last check takes everything back; one
that was killed leaves a candidate without traffic, which the next one takes up or clears away. Whoever calls
holds the share's lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from remora.adapters.aliases import AliasSet
from remora.azure.apps import ContainerApp, Revision
from remora.azure.files import Share
from remora.errors import RemoraError
from remora.rollout import sync
from remora.rollout.alias_sets import commit_set, served_aliases, set_id, wanted_aliases, write_set
from remora.rollout.candidate import ADAPTERS_VARIABLE, RELEASE_VARIABLE, Before, Candidate, Scale, look
from remora.rollout.check import Checked
from remora.rollout.contents import Contents
from remora.rollout.failed_step import with_failed_step
from remora.rollout.former import finish_interrupted
from remora.rollout.gates import Gates
from remora.rollout.golden_check import GoldenReport
from remora.rollout.history import happened, record
from remora.rollout.lock import HeldLock
from remora.rollout.owner import check_owner, claim
from remora.rollout.plan import SyncPlan
from remora.rollout.restart import Strategy, check_restart, restart_replicas
from remora.rollout.steps import Steps


@dataclass(slots=True)
class Deployed:
    """What a rollout did.

    `seconds` is the time of each phase; `kept` is the revision that still runs, without traffic, for a
    rollback ("" for none). `program` names a program of the user's own, which asks for no key and proves no
    adapter; None is Remora's.
    """

    revision: str
    changed: bool
    uploaded_files: int
    uploaded_bytes: int
    kept_files: int
    url: str
    checked: Sequence[Checked] = ()
    golden: GoldenReport | None = None
    kept: str = ""
    program: str | None = None
    restarted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """What a rollout would do."""

    sync: SyncPlan
    new_revision: bool
    running_release: str | None


class Rollout:
    """One rollout of `contents`: `plan` looks, `run` does it."""

    def __init__(self, contents: Contents, *, app: ContainerApp, share: Share, scale: Scale) -> None:
        self._contents = contents
        self._app = app
        self._share = share
        self._scale = scale
        self._seconds: dict[str, float] = {}

    def plan(self) -> Planned:
        """Compare with share and app; changes nothing. Raises Refused where the share is another app's."""
        check_owner(self._share, self._app)
        before = look(self._app)
        plan = sync.prepare(self._share, self._contents.files)
        return Planned(plan, not self._serves(before), before.release or None)

    def run(
        self,
        gates: Gates,
        lock: HeldLock,
        *,
        timeout_seconds: float,
        steps: Steps,
        strategy: Strategy = Strategy.REVISION,
    ) -> Deployed:
        """Bring the share and the app to `contents` and prove it with real answers.

        Nothing changed means no new revision. Raises Refused where the share is another app's, or a restart
        cannot do it, NotReady where the new revision does not come up, VerificationFailed where it answers
        otherwise than was recorded; then, and on Ctrl+C, what served before serves on.
        """
        before = look(self._app)
        if strategy is Strategy.RESTART:
            check_restart(before.serving, running=before.release, wanted=self._contents.release_id)
        claim(self._share, self._app)
        if strategy is Strategy.RESTART:
            with self._remembered(before, "restart"):
                return self._restart(before.serving, gates, lock, timeout_seconds, steps)
        if self._serves(before):
            return self._look_again(before, gates, timeout_seconds, steps)
        with self._remembered(before, "deploy"):
            return self._replace(before, gates, lock, timeout_seconds, steps)

    def _replace(
        self, before: Before, gates: Gates, lock: HeldLock, timeout_seconds: float, steps: Steps
    ) -> Deployed:
        """A candidate takes the place of what serves."""
        plan = self._sync(steps)
        aliases = self._wanted_aliases(before)
        write_set(self._share, aliases)
        wanted = {RELEASE_VARIABLE: self._contents.release_id, ADAPTERS_VARIABLE: set_id(aliases)}
        candidate = Candidate(self._app, before)
        lock.confirm()
        with candidate.or_back(steps):
            with self._timed("revision"):
                candidate.prepare({one.name for one in before.revisions if self._runs(one, wanted)}, steps)
                with steps("starting a new revision beside the one that serves") as say:
                    name = candidate.start(wanted, self._scale)
                    with with_failed_step(self._app, name):
                        self._app.wait_until_ready(name, timeout_seconds=timeout_seconds, progress=say.now)
                    say(f"revision {name} is ready, without traffic")
            with self._timed("check"):
                report = gates.try_revision(name)
            lock.confirm()
            with self._timed("switch"):
                with steps(f"switching the traffic to {name}"):
                    candidate.switch()
                answers = gates.confirm()
        commit_set(self._share, aliases)  # from here on there is no way back: it would take the aliases along
        kept = before.serving if candidate.settle() else ""
        return self._deployed(name, plan, gates.public_url, answers, report, changed=True, kept=kept)

    def _look_again(self, before: Before, gates: Gates, timeout_seconds: float, steps: Steps) -> Deployed:
        """What is wanted serves already: make sure that it is well."""
        plan, name = self._sync(steps), before.serving
        with self._timed("revision"), steps("looking at the revision") as say:
            if self._app.revision(name).failed:
                self._app.restart(name)
            self._app.wait_until_ready(name, timeout_seconds=timeout_seconds, progress=say.now)
            say(f"revision {name} is up to date")
        commit_set(self._share, self._wanted_aliases(before))
        with self._timed("check"):
            answers, report = gates.try_endpoint()
        finish_interrupted(self._app, self._share, before)
        return self._deployed(name, plan, gates.public_url, answers, report)

    def _restart(
        self, name: str, gates: Gates, lock: HeldLock, timeout_seconds: float, steps: Steps
    ) -> Deployed:
        """In place, as AI Toolkit does it: nothing answers for a while, and nothing is kept to go back to."""
        plan = self._sync(steps)
        lock.confirm()
        sync.point_aliases(self._share, self._contents.aliases)
        with self._timed("revision"), steps("restarting") as say:
            restart_replicas(self._app, name, timeout_seconds=timeout_seconds, progress=say.now)
            with with_failed_step(self._app, name):
                self._app.wait_until_ready(name, timeout_seconds=timeout_seconds, progress=say.now)
            say(f"revision {name} is restarted")
        with self._timed("check"):
            answers, report = gates.try_endpoint()
        return replace(self._deployed(name, plan, gates.public_url, answers, report), restarted=True)

    def _sync(self, steps: Steps) -> SyncPlan:
        with self._timed("sync"):
            with steps("comparing with the share") as say:
                plan = sync.prepare(self._share, self._contents.files)
                say(f"{len(plan.kept)} files are on the share, {len(plan.uploads)} to upload")
            if plan.uploads:
                total = f"{len(plan.uploads)} files, {plan.upload_bytes:,} bytes"
                with steps(f"uploading {total}") as say:
                    sync.upload(
                        self._share, plan, lambda files, size: say(f"uploaded {files} files, {size:,} bytes")
                    )
        return plan

    def _served_aliases(self, environment: Mapping[str, str]) -> AliasSet:
        return served_aliases(self._share, environment.get(ADAPTERS_VARIABLE, ""))

    def _wanted_aliases(self, before: Before) -> AliasSet:
        """The aliases to serve: those that are served now, where they are the wanted ones."""
        return wanted_aliases(self._served_aliases(before.environment), self._contents.aliases)

    def _serves(self, before: Before) -> bool:
        """Whether the traffic goes to what is wanted, and no newer revision of it waits for its check.

        One may wait where a rollout was killed, or where `remora provision` has changed the app's template.
        """
        serving = next((one for one in before.revisions if one.name == before.serving), None)
        latest = [one for one in before.revisions if one.name == before.state.latest_revision]
        waiting = any(one.name in before.strays and self._is_wanted(one) for one in latest)
        return serving is not None and self._is_wanted(serving) and not waiting

    def _is_wanted(self, revision: Revision) -> bool:
        return (
            self._runs(revision, {RELEASE_VARIABLE: self._contents.release_id})
            and self._served_aliases(revision.environment).digests == self._contents.aliases
        )

    def _runs(self, revision: Revision, environment: Mapping[str, str]) -> bool:
        same_scale = Scale(revision.min_replicas, revision.max_replicas) == self._scale
        return same_scale and environment.items() <= revision.environment.items()

    def _deployed(
        self,
        revision: str,
        plan: SyncPlan,
        url: str,
        answers: Sequence[Checked],
        report: GoldenReport,
        *,
        changed: bool = False,
        kept: str = "",
    ) -> Deployed:
        return Deployed(
            revision=revision,
            changed=changed,
            uploaded_files=len(plan.uploads),
            uploaded_bytes=plan.upload_bytes,
            kept_files=len(plan.kept),
            url=url,
            checked=answers,
            golden=report,
            kept=kept,
            seconds=self._seconds,
        )

    @contextmanager
    def _remembered(self, before: Before, what: str) -> Iterator[None]:
        """Put what comes of it into the history, as far as the share can be reached."""
        result, message = "interrupted", ""
        try:
            yield
            result = "ok"
        except RemoraError as error:
            result, message = error.code, error.message
            raise
        finally:
            event = happened(
                what,
                self._app.name,
                before=before.release,
                after=self._contents.release_id,
                result=result,
                message=message,
            )
            with suppress(RemoraError):
                record(self._share, event)

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[phase] = time.monotonic() - started
