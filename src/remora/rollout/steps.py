"""How a rollout says what it is doing: the seam between `rollout` and whoever prints."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class Step(Protocol):
    """What is said while a step goes on: calling it rewrites the step's last line."""

    def __call__(self, text: str) -> None: ...

    def now(self, text: str) -> None:
        """What is being waited for."""


class Steps(Protocol):
    """Begin a step: a piece of work with a name."""

    def __call__(self, label: str) -> AbstractContextManager[Step]: ...
