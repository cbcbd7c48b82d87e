"""The former release: which one it is, according to the history, and which of its revisions still runs.

Also completes a rollout that was killed after its switch: it has neither recorded itself in the history nor
stopped the revisions that are no longer needed. Moves no traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from remora.azure.app.apps import ContainerApp
from remora.azure.share.files import Share
from remora.errors import RemoraError
from remora.rollout.revision.candidate import RELEASE_VARIABLE, Before, stop_others
from remora.rollout.share.history import Happened, happened, read_history, record

_LOOKED_AT = 50
_MOVES = ("deploy", "rollback")


def read_moves(share: Share, app: ContainerApp) -> list[Happened]:
    """The successful deploys and rollbacks of an app, newest first."""
    events = read_history(share, most=_LOOKED_AT)
    return [
        event for event in events if event.result == "ok" and event.what in _MOVES and event.name == app.name
    ]


def release_before(moves: Sequence[Happened], release: str) -> str:
    """The release that served before this one; "" if the history does not have it."""
    found = (event.before for event in moves if event.after == release)
    return next((before for before in found if before not in ("", release)), "")


def finish_interrupted(
    app: ContainerApp, share: Share, before: Before, variable: str = RELEASE_VARIABLE
) -> None:
    """Complete a rollout that was killed after its switch; after a complete one this does nothing.

    `variable` is the environment variable that says which content a revision runs.
    """
    moves, serves = read_moves(share, app), before.environment.get(variable, "") if before.serving else ""
    former = before.former(release_before(moves, serves)) if before.keeps_former else None
    if before.state.traffic.is_pinned:
        carrying = {one.revision for one in before.state.traffic.shares if one.weight}
        stop_others(app, before, {before.serving, former.name if former else "", *carrying})
    told = moves[0].after if moves else ""
    if serves not in ("", told):
        event = happened(
            "deploy",
            app.name,
            before=former.environment.get(variable, "") if former else told,
            after=serves,
            message="found serving: the command that switched the traffic was killed before it recorded this",
        )
        with suppress(RemoraError):
            record(share, event)
