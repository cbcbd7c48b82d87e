"""What served before: which release, as the history tells it, and which revision of it still runs.

Also the end of a rollout that was killed after its switch: it had neither told the history nor stopped what
is not needed any more. Moves no traffic.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from remora.azure.apps import ContainerApp
from remora.azure.files import Share
from remora.errors import RemoraError
from remora.rollout.candidate import RELEASE_VARIABLE, Before, stop_others
from remora.rollout.history import Happened, happened, read_history, record

_LOOKED_AT = 50
_MOVES = ("deploy", "rollback")


def read_moves(share: Share, app: ContainerApp) -> list[Happened]:
    """The deploys and rollbacks of an app that went well, newest first."""
    events = read_history(share, most=_LOOKED_AT)
    return [
        event for event in events if event.result == "ok" and event.what in _MOVES and event.name == app.name
    ]


def release_before(moves: Sequence[Happened], release: str) -> str:
    """What served before a release; "" where the history does not tell."""
    found = (event.before for event in moves if event.after == release)
    return next((before for before in found if before not in ("", release)), "")


def finish_interrupted(
    app: ContainerApp, share: Share, before: Before, variable: str = RELEASE_VARIABLE
) -> None:
    """Do what a rollout that died after its switch had still to do; after a whole one that is nothing.

    `variable` is the one by which a revision says what of the project it runs.
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
            message="it was found serving: the command that gave it the traffic had not said so",
        )
        with suppress(RemoraError):
            record(share, event)
