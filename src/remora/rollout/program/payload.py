"""The user's own program as the payload of a rollout, mainly AI Toolkit's: the workspace's files, unchanged.

It has no release, no aliases and no proof of which adapter answered. Does not know how the program uses the
files. They always have the same paths: if a new revision is refused, the traffic stays where it is, but a
replica that restarts reads the new files.
"""

from __future__ import annotations

from collections.abc import Sequence

from remora.azure.share.files import Share
from remora.project.toolkit.commands import Program
from remora.rollout.gates.check import Checked
from remora.rollout.payload import Load, Verdict
from remora.rollout.program.endpoint import ProgramEndpoint, check_program
from remora.rollout.program.sync import WorkspacePlan, prepare_workspace, upload_workspace
from remora.rollout.revision.app_shape import AppShape
from remora.rollout.revision.candidate import Before
from remora.rollout.revision.restart import Strategy
from remora.rollout.share.part import Part
from remora.rollout.share.plan import SyncFile
from remora.rollout.steps import Steps

WORKSPACE_VARIABLE = "REMORA_WORKSPACE"
STOCK_PROGRAM = "inference/gradio_chat.py"


def program_name(shape: AppShape) -> str:
    """The name for its only model: the program's, because it does not report which model it loaded."""
    return STOCK_PROGRAM if shape.program is Program.STOCK else f"{shape.app.name}'s program"


class ProgramPayload:
    """The files of a workspace, for the program that an app runs."""

    variable = WORKSPACE_VARIABLE

    def __init__(
        self, files: tuple[SyncFile, ...], part: Part, shape: AppShape, *, timeout_seconds: float
    ) -> None:
        self._files = files
        self._part = part
        self._shape = shape
        self._timeout_seconds = timeout_seconds
        self._plan: WorkspacePlan | None = None

    @property
    def content_id(self) -> str:
        return self._plan.workspace_id if self._plan else ""

    @property
    def program(self) -> str:
        return program_name(self._shape)

    def admit(self, before: Before, strategy: Strategy) -> None:
        """Accepts every strategy: a program reads its files when it starts."""

    def compare(self, share: Share, before: Before, steps: Steps) -> Load:
        with steps("comparing with the share") as say:
            plan = self._plan = prepare_workspace(share, self._files, self._part)
            say(f"{len(plan.kept)} files are on the share, {len(plan.uploads)} to upload")
        served = bool(before.serving) and before.environment.get(self.variable) == plan.workspace_id
        return Load(
            environment={self.variable: plan.workspace_id},
            scale=before.scale,
            served=served,
            replaces=served and bool(plan.uploads),
            upload_files=len(plan.uploads),
            upload_bytes=plan.upload_bytes,
            kept_files=len(plan.kept),
            reasons=() if served else ("the workspace's files changed",),
        )

    def upload(self, share: Share, steps: Steps) -> None:
        plan = self._plan
        if plan is None or not (plan.uploads or plan.deletes):
            return
        with steps(f"uploading {len(plan.uploads)} files, {plan.upload_bytes:,} bytes") as say:
            upload_workspace(share, plan, lambda size: say.now(f"{size:,} bytes"))
            say(f"uploaded {len(plan.uploads)} files, deleted {len(plan.deletes)}")

    def stage(self, share: Share) -> None:
        """Nothing: the program reads the files from their own paths."""

    def commit(self, share: Share) -> None:
        """Nothing: see `stage`."""

    def check(self, url: str, who: str, steps: Steps) -> Verdict:
        return Verdict(self._ask(url, f"checking {who}", steps))

    def confirm(self, url: str, steps: Steps) -> Sequence[Checked]:
        return self._ask(url, f"asking {url}", steps)

    def _ask(self, url: str, label: str, steps: Steps) -> Sequence[Checked]:
        """Ask for the page and an answer; only AI Toolkit's program must give an answer."""
        must_chat = self._shape.program is Program.STOCK
        with steps(label) as say:
            with ProgramEndpoint(url, self.program) as endpoint:
                checked = check_program(
                    endpoint,
                    must_chat=must_chat,
                    timeout_seconds=self._timeout_seconds,
                    tell=say.reason,
                )
            say(f"{url} answers" if checked else f"{url} serves its page; it has no /v1/chat/completions")
        return checked
