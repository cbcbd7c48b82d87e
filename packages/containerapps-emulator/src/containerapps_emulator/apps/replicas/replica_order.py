"""What a revision wants run as a replica, and how that is doing: the words between the two."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from containerapps_emulator.apps.documents.template import ContainerTemplate, Probe
from containerapps_emulator.apps.replicas.container import Launch

STARTED: Final = "Container started at: "


class CannotStart(Exception):
    """What a container needs is not there; tried again with back-off, for it may come."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CompanionOrder:
    """What a replica wants run beside its first container."""

    replica: str
    container: ContainerTemplate
    log_folder: Path
    grace_seconds: float
    prepare: Callable[[ContainerTemplate], Awaitable[Launch]]
    """Raises CannotStart."""
    tell: Callable[[str, str, bool], None]
    """(reason, message, whether something went wrong)"""


@dataclass(frozen=True, slots=True)
class ReplicaOrder:
    """What a revision wants run, and under which names."""

    app: str  # key
    number: int  # of the revision
    revision: str
    name: str
    container: str
    command: tuple[str, ...]
    probes: tuple[Probe, ...]
    grace_seconds: float  # for a container that a probe has condemned
    target_port: int | None  # None: no ingress, so no port to wait for
    open_seconds: float  # by when that port must be open; infinity: whenever
    log_path: Path
    prepare: Callable[[str, int], Awaitable[Launch]]
    """(replica, port) → what to launch. Raises CannotStart."""
    on_own_port: Callable[[], None] = lambda: None
    """It listens on the target port itself: there can be no other replica beside it."""
    leave: Callable[[str], None] = lambda _: None
    """The replica of this name must end, for its successor needs its port."""
    initial: tuple[CompanionOrder, ...] = ()
    """Each runs to its end, in this order, before the others start."""
    sidecars: tuple[CompanionOrder, ...] = ()


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    ready: bool = False
    started: bool = False
    running: bool = False
    was_ready: bool = False
    restarts: int = 0
    exits_in_a_row: int = 0  # since it was last ready
    details: str = ""
    """What went wrong last, with the last lines of output; or when it started."""

    @property
    def problem(self) -> str:
        """What went wrong; "" where it only has started."""
        return "" if self.details.startswith(STARTED) else self.details
