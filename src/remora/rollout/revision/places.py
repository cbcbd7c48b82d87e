"""Whether a candidate has room beside the serving revision, and what to do if it does not. Stops nothing.

With one GPU node, or a quota of one replica, a candidate would wait forever for what the serving revision
occupies. Then the order is: stop, start, check, and undo on failure. Nothing answers meanwhile, so the user
must agree, unless nothing answers anyway.
"""

from __future__ import annotations

from collections.abc import Callable

from remora.azure.app.apps import ContainerApp
from remora.azure.app.scale import Scale
from remora.azure.provisioning.room import read_room
from remora.errors import Refused
from remora.rollout.revision.candidate import Before
from remora.rollout.revision.restart import Strategy

Choose = Callable[[str], bool]
"""Gets the reason why there is no room; returns whether the serving revision may be stopped first."""


def stops_first(app: ContainerApp, before: Before, scale: Scale, strategy: Strategy, choose: Choose) -> bool:
    """Whether the running revision must stop before the new one starts. Raises Refused after a no."""
    serving = next((one for one in before.revisions if one.name == before.serving), None)
    if strategy is Strategy.IN_PLACE or (serving is not None and not serving.active):
        return True
    why = no_room(app, before, scale)
    if not why or not answers(app, before):
        return bool(why)
    if choose(why):
        return True
    raise Refused(
        f"{why}; the serving revision must stop first, and nothing answers until the new one is ready",
        hint="run: remora deploy --strategy in-place",
    )


def no_room(app: ContainerApp, before: Before, scale: Scale) -> str:
    """Why a candidate cannot start beside what runs; "" if it can, or if the cloud does not report limits."""
    room = read_room(app, before.state, before.revisions)
    if room is None:
        return ""
    freed = sum(one.replicas for one in before.revisions if one.name in before.strays)
    needed, free = max(scale.min_replicas, 1), room.free + freed
    if needed <= free or not any(one.active and one.replicas for one in before.revisions):
        return ""
    replicas = "one replica" if needed == 1 else f"{needed} replicas"
    return (
        f"there is no room for {replicas} beside {before.serving or before.state.latest_revision}:"
        f" {free} of {room.limit} {room.what} are free"
    )


def answers(app: ContainerApp, before: Before) -> bool:
    """Whether the revision with the traffic has a replica that answers, or would start one for a request."""
    serving = next((one for one in before.revisions if one.name == before.serving), None)
    if serving is None or not serving.active:
        return False
    return serving.health == "Healthy" or any(one.ready for one in app.replicas(serving.name))
