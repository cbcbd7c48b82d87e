"""The names that Container Apps gives to revisions, executions and replicas."""

from __future__ import annotations

import secrets
import string
from typing import Final

LETTERS: Final = string.ascii_lowercase + string.digits
# Kubernetes leaves out what reads as a word or as another character.
POD_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


def revision_name(app: str, number: int, suffix: str) -> str:
    """`number` counts the revisions of the app so far: the first has a random name, later ones a number."""
    if suffix:
        return f"{app}--{suffix}"
    return f"{app}--{number:07d}" if number else f"{app}--{_random(LETTERS, 7)}"


def execution_name(job: str) -> str:
    return f"{job}-{_random(LETTERS, 7)}"


def replica_set_name(revision: str) -> str:
    return f"{revision}-{_random(POD_LETTERS, 10)}"


def replica_name(replica_set: str) -> str:
    return f"{replica_set}-{_random(POD_LETTERS, 5)}"


def _random(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))
