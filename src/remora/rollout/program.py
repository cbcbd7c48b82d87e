"""A rollout of a program of the user's own, AI Toolkit's above all: the workspace's files as they are.

Sync, then a new revision or a restart, and an answer. No release, no aliases, no proof of which adapter
answered: what the program does with the files is its own affair. They lie at the same paths always: a new
revision may be refused and the traffic stay where it is, but whatever starts again reads the new files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from remora.azure.files import Share
from remora.errors import RemoraError
from remora.project.commands import Program
from remora.rollout.app_shape import AppShape
from remora.rollout.candidate import Before, Candidate, look
from remora.rollout.check import Checked
from remora.rollout.failed_step import with_failed_step
from remora.rollout.former import finish_interrupted
from remora.rollout.history import happened, record
from remora.rollout.lock import HeldLock
from remora.rollout.part import Part
from remora.rollout.plan import SyncFile
from remora.rollout.program_endpoint import ProgramEndpoint, check_program
from remora.rollout.release import Deployed
from remora.rollout.restart import Strategy, restart_replicas
from remora.rollout.steps import Steps
from remora.rollout.workspace_sync import WorkspacePlan, prepare_workspace, upload_workspace

WORKSPACE_VARIABLE = "REMORA_WORKSPACE"
STOCK_PROGRAM = "inference/gradio_chat.py"


def program_name(shape: AppShape) -> str:
    """What its one model is called in answers: the program itself, which does not say what it loaded."""
    return STOCK_PROGRAM if shape.program is Program.STOCK else f"{shape.app.name}'s program"


class ProgramRollout:
    """One rollout of `files`."""

    def __init__(
        self,
        files: tuple[SyncFile, ...],
        part: Part,
        *,
        shape: AppShape,
        share: Share,
        endpoint_scheme: str,
        timeout_seconds: float,
        steps: Steps,
    ) -> None:
        self._files = files
        self._part = part
        self._shape = shape
        self._app = shape.app
        self._share = share
        self._scheme = endpoint_scheme
        self._timeout_seconds = timeout_seconds
        self._steps = steps
        self._seconds: dict[str, float] = {}

    def plan(self) -> tuple[WorkspacePlan, bool]:
        """What would be synced, and whether that takes a new revision; changes nothing."""
        plan = prepare_workspace(self._share, self._files, self._part)
        return plan, not _serves(look(self._app), plan)

    def run(self, lock: HeldLock, strategy: Strategy) -> Deployed:
        """Bring share and app to the workspace and get an answer.

        Nothing changed means no new revision. Raises NotReady, naming the command that failed, where the
        program does not come up; then, and on Ctrl+C, the traffic stays where it was.
        """
        before = look(self._app)
        plan = self._sync()
        lock.confirm()
        name = before.serving or before.state.latest_revision
        if (strategy is Strategy.RESTART and name) or (_serves(before, plan) and plan.uploads):
            self._start_again(name)
        elif _serves(before, plan):
            self._look_again(name)
        else:
            name = self._replace(before, plan, lock)
        url = f"{self._scheme}://{self._app.read().fqdn}"
        answers = self._check(url)
        if name == before.serving:
            finish_interrupted(self._app, self._share, before, WORKSPACE_VARIABLE)
        return Deployed(
            revision=name,
            changed=name != before.serving and strategy is not Strategy.RESTART,
            uploaded_files=len(plan.uploads),
            uploaded_bytes=plan.upload_bytes,
            kept_files=len(plan.kept),
            url=url,
            program=program_name(self._shape),
            restarted=strategy is Strategy.RESTART,
            checked=answers,
            seconds=self._seconds,
        )

    def _sync(self) -> WorkspacePlan:
        with self._timed("sync"):
            with self._steps("comparing with the share") as say:
                plan = prepare_workspace(self._share, self._files, self._part)
                say(f"{len(plan.kept)} files are on the share, {len(plan.uploads)} to upload")
            if plan.uploads or plan.deletes:
                with self._steps(f"uploading {len(plan.uploads)} files, {plan.upload_bytes:,} bytes") as say:
                    upload_workspace(self._share, plan, lambda size: say.now(f"{size:,} bytes"))
                    say(f"uploaded {len(plan.uploads)} files, deleted {len(plan.deletes)}")
        return plan

    def _replace(self, before: Before, plan: WorkspacePlan, lock: HeldLock) -> str:
        """A candidate takes the place of what serves."""
        candidate = Candidate(self._app, before)
        wanted = {WORKSPACE_VARIABLE: plan.workspace_id}
        with candidate.or_back(self._steps):
            with self._timed("revision"):
                same = {one.name for one in before.revisions if wanted.items() <= one.environment.items()}
                candidate.prepare(same, self._steps)
                with self._steps("starting a new revision beside the one that serves") as say:
                    name = candidate.start(wanted, before.scale)
                    self._until_ready(name, say.now)
                    say(f"revision {name} is ready, without traffic")
            self._check(f"{self._scheme}://{self._app.revision(name).fqdn}")
            lock.confirm()
            with self._timed("switch"), self._steps(f"switching the traffic to {name}"):
                candidate.switch()
        candidate.settle()
        self._remember(before, plan)
        return name

    def _look_again(self, name: str) -> None:
        """What is wanted serves already: make sure that it is well."""
        with self._timed("revision"), self._steps("looking at the revision") as say:
            if self._app.revision(name).failed:
                self._app.restart(name)
            self._until_ready(name, say.now)
            say(f"revision {name} is up to date")

    def _start_again(self, name: str) -> None:
        with self._timed("revision"), self._steps("restarting") as say:
            restart_replicas(self._app, name, timeout_seconds=self._timeout_seconds, progress=say.now)
            self._until_ready(name, say.now)
            say(f"revision {name} is restarted")

    def _until_ready(self, name: str, progress: Callable[[str], None]) -> None:
        with with_failed_step(self._app, name):
            self._app.wait_until_ready(name, timeout_seconds=self._timeout_seconds, progress=progress)

    def _check(self, url: str) -> Sequence[Checked]:
        """The page and an answer; at least an answer of AI Toolkit's program."""
        must_chat = self._shape.program is Program.STOCK
        with self._timed("check"), self._steps(f"asking {url}") as say:
            with ProgramEndpoint(url, program_name(self._shape)) as endpoint:
                checked = check_program(endpoint, must_chat=must_chat, timeout_seconds=self._timeout_seconds)
            say(f"{url} answers" if checked else f"{url} shows its page; it has no /v1/chat/completions")
        return checked

    def _remember(self, before: Before, plan: WorkspacePlan) -> None:
        former = before.environment.get(WORKSPACE_VARIABLE, "")
        with suppress(RemoraError):
            record(self._share, happened("deploy", self._app.name, before=former, after=plan.workspace_id))

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[phase] = self._seconds.get(phase, 0.0) + time.monotonic() - started


def _serves(before: Before, plan: WorkspacePlan) -> bool:
    """Whether what serves was started with these very files."""
    same = before.environment.get(WORKSPACE_VARIABLE) == plan.workspace_id
    return bool(before.serving) and same
