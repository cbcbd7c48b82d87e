"""The other way to make a replica read what is new on the share: the same revision, restarted in place.

It is what AI Toolkit does. Nothing answers while the replicas come up again, so it is not the default.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from remora.azure.apps import ContainerApp
from remora.errors import NotReady, Refused

_LOOK_SECONDS = 0.5


class Strategy(StrEnum):
    """How an app comes to run what was synced."""

    REVISION = "revision"
    RESTART = "restart"


def check_restart(serving: str, *, running: str, wanted: str) -> None:
    """Refuse a restart that would not do what is asked: a revision names the release that it runs."""
    if not running or not serving:
        raise Refused(
            "--strategy restart: no revision of the app runs a release yet",
            hint="make one: remora deploy --strategy revision",
        )
    if running != wanted:
        raise Refused(
            f"--strategy restart: revision {serving!r} would go on with release {running}, not run {wanted}",
            hint="run: remora deploy --strategy revision, or --adapters-only to keep the release",
        )


def restart_replicas(
    app: ContainerApp, revision: str, *, timeout_seconds: float, progress: Callable[[str], None]
) -> None:
    """Restart all replicas of a revision and return when the former ones have ended. Raises NotReady.

    A revision may stay "healthy" for a moment after it was told to restart, so the containers are compared.
    """
    deadline = time.monotonic() + timeout_seconds
    former = _containers(app, revision)
    app.restart(revision)
    while former & _containers(app, revision):
        if time.monotonic() > deadline:
            raise NotReady(
                f"revision {revision!r} was told to restart, but {len(former)} of its containers have not"
                f" ended in {timeout_seconds:.0f} s",
                hint="see: remora logs --system",
            )
        progress(f"revision {revision}: waiting for the former replicas to end")
        time.sleep(_LOOK_SECONDS)


def _containers(app: ContainerApp, revision: str) -> set[str]:
    return {replica.container_id for replica in app.replicas(revision)} - {""}
