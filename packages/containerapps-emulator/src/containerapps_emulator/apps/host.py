"""What every part of the runtime is given: where things are, what time it is, which limits hold.

Owns no behaviour beyond naming folders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from containerapps_emulator.apps.clock import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of Azure's runtime, and those of ours where Azure's are for a data centre."""

    request_seconds: float = 240
    recovery_seconds: float = 30
    """How long a request waits for a replica that has served and is started again."""
    back_off_seconds: tuple[float, ...] = (0, 1, 2, 4, 8, 16, 32, 60)
    """The first restart is at once, as Kubernetes has it."""
    back_off_reset_seconds: float = 60
    """A replica that was ready this long starts its back-off from the beginning again."""
    exits_until_failed: int = 3
    """A revision whose replica ended this often in a row without getting ready has failed."""
    port_poll_seconds: float = 0.1
    """How often a port is tried where the template has no readiness probe."""
    open_seconds: float = 240
    """Azure's own startup probe, where the template has none and no GPU: the port must be open by then."""
    shutdown_seconds: float = 5
    """How long the control plane waits for its replicas when it goes down itself."""
    scale_period_seconds: float = 15
    """How often the requests in flight are compared with the scale rules."""
    scale_stable_seconds: float = 300
    """Replicas are taken away once none of the evaluations of this time asked for them."""


@dataclass(frozen=True, slots=True)
class Host:
    home: Path
    shares_root: Path
    address: str
    arm_url: Callable[[], str]
    clock: Clock
    limits: Limits

    def log_folder(self, group: str, app: str) -> Path:
        return self.home / "logs" / group.lower() / app.lower()

    def app_folder(self, group: str, app: str) -> Path:
        """What an app's containers keep: their HOME and their environments; gone with the app."""
        return self.home / "apps" / group.lower() / app.lower()

    def job_log_folder(self, group: str, job: str) -> Path:
        return self.home / "job-logs" / group.lower() / job.lower()

    def job_folder(self, group: str, job: str) -> Path:
        """What a job's containers keep; gone with the job."""
        return self.home / "jobs" / group.lower() / job.lower()

    def replica_folder(self, replica: str) -> Path:
        """The working directory and the empty volumes of one replica; gone with it."""
        return self.home / "replicas" / replica
