"""The last `up`, `provision` or `deploy` of a project that failed on this machine, kept for `remora why`.

What is refused before anything is made leaves no trace in a cloud. One small file per project in Remora's
home; a later success removes it. Holds messages of errors, never keys or prompts.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from remora.azure.profile import remora_home
from remora.errors import RemoraError
from remora.rollout.why.facts import Fact, Source, now_text


def failure_fact(command: str, error: RemoraError, seconds: float) -> Fact:
    """What a failed command reported."""
    return Fact(now_text(), Source.COMMAND, f"{command}: {error.code}: {error.message}", seconds, wrong=True)


def remember(folder: Path, fact: Fact) -> None:
    """Keep a failure. A home that cannot be written is ignored: the failure itself matters more."""
    path = _path(folder)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)  # it can quote a line of the container's log
        path.write_text(json.dumps({"at": fact.at, "what": fact.what, "seconds": fact.seconds}), "utf-8")


def forget(folder: Path) -> None:
    """The command succeeded."""
    with suppress(OSError):
        _path(folder).unlink(missing_ok=True)


def last_failure(folder: Path) -> Fact | None:
    """The failure that was kept; None if the last command succeeded, or the file is no such file."""
    try:
        document = json.loads(_path(folder).read_bytes())
        return Fact(
            str(document["at"]), Source.COMMAND, str(document["what"]), document["seconds"], wrong=True
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _path(folder: Path) -> Path:
    name = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    return remora_home() / "commands" / f"{name}.json"
