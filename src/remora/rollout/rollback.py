"""Goes back to a former release: its revision still exists, so only the traffic moves. Adapters stay."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from remora.adapters.store import RELEASE_FILE, decode_release, release_folder
from remora.azure.app.apps import ContainerApp
from remora.azure.app.readiness import wait_until_ready
from remora.azure.app.state import Revision
from remora.azure.share.files import Share
from remora.errors import NotFound, Refused, RemoraError
from remora.rollout.former import read_moves, release_before
from remora.rollout.revision.candidate import RELEASE_VARIABLE, Before, look
from remora.rollout.share.history import happened, record
from remora.rollout.share.lock import HeldLock
from remora.rollout.share.owner import check_owner
from remora.rollout.steps import Steps

_ADAPTERS_HINT = "to roll an adapter back: remora adapters rollback NAME"


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The release before and after, and whether the revision had to be started first."""

    revision: str
    release: str
    former_revision: str
    former_release: str
    started: bool


def roll_back(
    app: ContainerApp,
    lock: HeldLock,
    release: str | None,
    *,
    timeout_seconds: float,
    steps: Steps,
) -> RolledBack:
    """Switch the traffic to the revision of a release, by default the one that served before this one.

    Raises NotFound if there is none, Refused if it serves a different base model from that of the adapters,
    or if the share belongs to another app.
    """
    app, share = lock.fence(app), lock.share
    check_owner(share, app)
    before = look(app)
    wanted = release or _former_release(app, share, before)
    revision = _revision_of(before, wanted)
    _check_base(share, before.release, wanted)
    if not revision.active:
        with steps(f"starting {revision.name}, which was stopped") as say:
            app.activate(revision.name)
            wait_until_ready(app, revision.name, timeout_seconds=timeout_seconds, say=say)
    with steps(f"switching the traffic to {revision.name}"):
        app.direct(before.state.traffic.all_to(revision.name))
    with suppress(RemoraError):
        record(share, happened("rollback", app.name, before=before.release, after=wanted))
    return RolledBack(revision.name, wanted, before.serving, before.release, not revision.active)


def _former_release(app: ContainerApp, share: Share, before: Before) -> str:
    """The release that served before the current one. Raises NotFound."""
    former = release_before(read_moves(share, app), before.release)
    if former:
        return former
    raise NotFound(
        f"the history has no release before {before.release or 'this one'}",
        hint=f"name one: remora rollback --release RELEASE, see: remora history; {_ADAPTERS_HINT}",
    )


def _revision_of(before: Before, release: str) -> Revision:
    """The newest revision of a release, a running one first. Raises NotFound, or Refused if it serves."""
    if release == before.release:
        raise Refused(f"release {release} already serves", hint=_ADAPTERS_HINT)
    found = [one for one in before.revisions if one.environment.get(RELEASE_VARIABLE) == release]
    if not found:
        raise NotFound(
            f"the app no longer has a revision of release {release!r}",
            hint="see: remora history; deploy its sources again: remora deploy",
        )
    return max(found, key=lambda one: (one.active, one.created))


def _check_base(share: Share, serving: str, wanted: str) -> None:
    """Refuse a release whose base model does not fit the adapters that are served now."""
    bases = {release: _base_of(share, release) for release in (serving, wanted) if release}
    if len(set(bases.values())) > 1:
        raise Refused(
            f"release {wanted} serves a different base model from that of the adapters of {serving}",
            hint="deploy the former sources, with their adapters: remora deploy",
        )


def _base_of(share: Share, release: str) -> str:
    path = release_folder(release) / RELEASE_FILE
    data = share.read(path)
    if data is None:
        raise NotFound(f"the share has no release {release!r}", hint="see: remora history")
    return decode_release(data, str(path)).base_digest
