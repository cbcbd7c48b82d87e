"""The diagnosis of a project: where its facts are, and the two lines that a failed command adds to its error.

Starts no cloud, and changes nothing. The facts and the table of causes are in `rollout/why/`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remora.azure.app.apps import ContainerApp
from remora.azure.share.files import Share
from remora.cli.context import connect
from remora.cli.models.base_option import read_settings
from remora.cli.output.console import Output
from remora.cli.output.next_command import command_line, in_folder
from remora.cli.why.last_command import failure_fact, forget, last_failure, remember
from remora.errors import (
    CannotWrite,
    CloudUnavailable,
    Locked,
    NotReady,
    ProvisioningFailed,
    Refused,
    RemoraError,
    SignInRequired,
    VerificationFailed,
)
from remora.project.toolkit.config import load_inference_config
from remora.rollout.why.causes import Verdict, judge
from remora.rollout.why.facts import Fact, Facts, Source
from remora.rollout.why.gathering import Place, gather
from remora.rollout.why.known_causes import KNOWN_CAUSES
from remora.rollout.why.signs import REFUSED

_DIAGNOSED = (
    SignInRequired,
    Refused,
    ProvisioningFailed,
    NotReady,
    VerificationFailed,
    CannotWrite,
    Locked,
)
_SAY_ALL = (SignInRequired, CloudUnavailable)
"""These errors are about reaching the cloud, so asking it for more facts would only fail again."""


@contextmanager
def diagnosed(command: str, folder: Path, out: Output) -> Iterator[None]:
    """Add the cause and the next command to a failure inside the block, and keep it for `remora why`."""
    started = time.monotonic()
    try:
        yield
    except _DIAGNOSED as error:
        last = failure_fact(command, error, time.monotonic() - started)
        remember(folder, last)
        facts = Facts((last,)) if isinstance(error, _SAY_ALL) else _facts_at_failure(folder, out, last)
        verdict = judge(facts, KNOWN_CAUSES)
        if verdict.cause != REFUSED:  # then the error itself says all
            for line in two_lines(verdict, folder):
                error.add_note(line)
        raise
    forget(folder)


def _facts_at_failure(folder: Path, out: Output, last: Fact) -> Facts:
    """The facts; only the failure itself if the diagnosis fails too, which must not hide it."""
    try:
        return facts_of(folder, out, last=last)
    except Exception:
        if os.environ.get("REMORA_DEBUG") == "1":
            raise
        return Facts((last,))


def facts_of(folder: Path, out: Output, *, revision: str | None = None, last: Fact | None = None) -> Facts:
    """The facts about the project in a folder. `last` is the failure at hand, else the one that was kept."""
    last = last or last_failure(folder)
    try:
        place = _place(folder, out)
    except RemoraError as error:
        what = Fact("", Source.COMMAND, f"why: {error.code}: {error.message}", wrong=True)
        return Facts((last, what) if last else (what,))
    if place is None:
        return Facts((last,) if last else ())
    return gather(place, revision=revision, last=last)


def two_lines(verdict: Verdict, folder: Path) -> tuple[str, str]:
    """The cause and what to do, for a failed command."""
    certainty = f"({verdict.confidence})" if verdict.is_known else "yet"
    why = command_line("why", folder)
    return f"Why: {verdict.says} {certainty}", f"Fix: {in_folder(verdict.fix, folder)} (all facts: {why})"


def _place(folder: Path, out: Output) -> Place | None:
    """Where the project is deployed; None if nothing has been made for it yet."""
    config = load_inference_config(folder)
    if config.resource_group is None:
        return None
    settings = read_settings(folder)
    clients = connect(settings, out, config.subscription_id or "", start=False)
    group, account, share = config.resource_group, config.storage_account, config.file_share
    return Place(
        clients,
        group,
        ContainerApp(clients, group, config.app) if config.app else None,
        ContainerApp(clients, group, config.front) if config.front else None,
        Share(clients, group, account, share, access=settings.share_access) if account and share else None,
    )
