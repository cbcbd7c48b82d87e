"""The strategies of a deploy, and one of them: restart the same revision in place. Syncs nothing.

AI Toolkit does this too. Nothing answers while the replicas restart, so it is not the default.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from enum import StrEnum

from remora.adapters.adapter import Digest
from remora.azure.app.apps import ContainerApp
from remora.azure.app.readiness import Waiting, Watch
from remora.errors import NotReady, Refused

_LOOK_SECONDS = 0.5


class Strategy(StrEnum):
    """How an app gets to run the synced files."""

    REVISION = "revision"
    RESTART = "restart"
    IN_PLACE = "in-place"


def check_restart(serving: str, *, running: str, wanted: str, unread: Collection[Digest] = ()) -> None:
    """Refuse a restart that would have no effect: a revision always runs the release that it names."""
    if not running or not serving:
        raise Refused(
            "--strategy restart: no revision of the app runs a release yet",
            hint="create one: remora deploy --strategy revision",
        )
    if running != wanted:
        raise Refused(
            f"--strategy restart: revision {serving!r} would still run release {running}, not {wanted}",
            hint="run: remora deploy --strategy revision, or --adapters-only to keep the release",
        )
    if unread:
        raise Refused(
            f"--strategy restart: {len(unread)} adapters on the share are new, and only a new revision reads"
            " them",
            hint="run: remora deploy --strategy revision",
        )


def restart_replicas(app: ContainerApp, revision: str, *, timeout_seconds: float, say: Waiting) -> None:
    """Restart all replicas of a revision and return when the former ones have ended. Raises NotReady.

    `say` gets the newest reason of the system log within a few seconds.

    A revision may stay "healthy" for a moment after the restart request, so the containers are compared.
    """
    deadline = time.monotonic() + timeout_seconds
    former = _containers(app, revision)
    watch = Watch(app, revision)
    app.restart(revision)
    while former & _containers(app, revision):
        if time.monotonic() > deadline:
            raise NotReady(
                f"revision {revision!r} was told to restart, but {len(former)} of its containers have not"
                f" ended in {timeout_seconds:.0f} s",
                hint="see: remora logs --system",
            )
        say.now(f"revision {revision}: waiting for the former replicas to end")
        if event := watch.news():
            say.reason(event)
        time.sleep(_LOOK_SECONDS)


def _containers(app: ContainerApp, revision: str) -> set[str]:
    return {replica.container_id for replica in app.replicas(revision)} - {""}
