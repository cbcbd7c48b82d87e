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


def read_moves(share: Share) -> list[Happened]:
    """The deploys and rollbacks that went well, newest first."""
    events = read_history(share, most=_LOOKED_AT)
    return [event for event in events if event.result == "ok" and event.what in _MOVES]


def release_before(moves: Sequence[Happened], release: str) -> str:
    """What served before a release; "" where the history does not tell."""
    found = (event.before for event in moves if event.after == release)
    return next((before for before in found if before not in ("", release)), "")


def finish_interrupted(app: ContainerApp, share: Share, before: Before) -> None:
    """Do what a rollout that died after its switch had still to do; after a whole one that is nothing."""
    moves = read_moves(share)
    former = before.former(release_before(moves, before.release)) if before.keeps_former else None
    if before.state.traffic.is_pinned:
        carrying = {one.revision for one in before.state.traffic.shares if one.weight}
        stop_others(app, before, {before.serving, former.name if former else "", *carrying})
    if not moves or moves[0].after != before.release:
        event = happened(
            "deploy",
            app.name,
            before=former.environment.get(RELEASE_VARIABLE, "") if former else "",
            after=before.release,
            message="it was found serving: the command that gave it the traffic had not said so",
        )
        with suppress(RemoraError):
            record(share, event)
