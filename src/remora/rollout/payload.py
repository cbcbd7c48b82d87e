"""The payload of a rollout: Remora's own release, or the files of the user's own program.

Owns the interface between the steps of a rollout, which are the same for both, and what differs. Runs no
step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from remora.adapters.proof import Proof
from remora.azure.app.scale import Scale
from remora.azure.app.state import Revision
from remora.azure.share.files import Share
from remora.rollout.gates.check import Checked
from remora.rollout.golden.check import GoldenReport
from remora.rollout.revision.candidate import Before
from remora.rollout.revision.restart import Strategy
from remora.rollout.share.adapter_plan import AdapterChange
from remora.rollout.steps import Steps


@dataclass(frozen=True, slots=True)
class Load:
    """What a revision needs to run the payload, and which files are not on the share yet.

    `served`: the revision with the traffic already runs it; `reasons` say why it does not. `replaces`: files
    that this revision has read are overwritten, so it must restart.
    """

    environment: Mapping[str, str]
    scale: Scale
    served: bool
    replaces: bool
    upload_files: int
    upload_bytes: int
    kept_files: int
    reasons: tuple[str, ...] = ()
    adapters: tuple[AdapterChange, ...] = ()

    def runs_in(self, revision: Revision) -> bool:
        """Whether a revision was created for exactly this."""
        return revision.scale == self.scale and self.environment.items() <= revision.environment.items()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check: the answers, and for Remora's own endpoint the golden report and the proofs.

    `measured` has a line for each adapter that was compared with the base model.
    """

    answers: Sequence[Checked]
    golden: GoldenReport | None = None
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    measured: Sequence[str] = ()


class Payload(Protocol):
    """Implementations change app and share only through their arguments, which the lock fences."""

    @property
    def variable(self) -> str:
        """The environment variable that says which content a revision runs."""

    @property
    def content_id(self) -> str:
        """The id of the content; "" until it is known."""

    @property
    def program(self) -> str | None:
        """The name of the user's own program; None for Remora's."""

    def admit(self, before: Before, strategy: Strategy) -> None:
        """Raises Refused, before anything changes, if the strategy does not fit the payload."""

    def compare(self, share: Share, before: Before, steps: Steps) -> Load:
        """Compare the payload with the share and the serving revision; changes nothing. Raises Refused."""

    def upload(self, share: Share, steps: Steps) -> None:
        """Upload what `compare` found missing. The serving revision is not affected."""

    def stage(self, share: Share) -> None:
        """Write the files on the share that only a candidate reads."""

    def commit(self, share: Share) -> None:
        """Publish what was synced: replicas that follow the share serve it from now on."""

    def check(self, url: str, who: str, steps: Steps) -> Verdict:
        """Run all checks on `who`, at this address. Raises VerificationFailed or NotReady."""

    def confirm(self, url: str, steps: Steps) -> Sequence[Checked]:
        """Ask the public address just after the traffic moved. Raises VerificationFailed or NotReady."""
