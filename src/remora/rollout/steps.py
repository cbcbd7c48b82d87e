"""How a rollout reports its progress: the interface between `rollout` and its caller, which prints."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Step(Protocol):
    """The progress of a running step: calling it rewrites the step's last line."""

    def __call__(self, text: str) -> None: ...

    def now(self, text: str) -> None:
        """Report what the step is waiting for."""

    def reason(self, text: str) -> None:
        """Report why the step is still waiting, as the cloud says."""


class Steps(Protocol):
    """Begin a named step."""

    def __call__(self, label: str) -> AbstractContextManager[Step]: ...
