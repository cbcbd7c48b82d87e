"""What a rollout would do: files, adapters, a new revision and why, free capacity for it. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from remora.azure.app.apps import ContainerApp
from remora.azure.share.files import Share
from remora.rollout.payload import Load, Payload
from remora.rollout.revision.candidate import look
from remora.rollout.revision.places import answers, no_room
from remora.rollout.share.owner import check_owner
from remora.rollout.steps import Steps


@dataclass(frozen=True, slots=True)
class Planned:
    """What a rollout would do.

    `no_room` says why a candidate cannot start beside the running revisions, "" if it can; `interrupts` says
    whether stopping them first would interrupt answers.
    """

    load: Load
    running: str
    no_room: str
    interrupts: bool


def look_ahead(payload: Payload, app: ContainerApp, share: Share, steps: Steps) -> Planned:
    """Compare with share and app; changes nothing. Raises Refused if the share belongs to another app."""
    check_owner(share, app)
    before = look(app)
    load = payload.compare(share, before, steps)
    why = "" if load.served else no_room(app, before, load.scale)
    running = before.environment.get(payload.variable, "") if before.serving else ""
    return Planned(load, running, why, interrupts=bool(why) and answers(app, before))
