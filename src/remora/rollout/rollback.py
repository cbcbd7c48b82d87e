"""Back to a former release: its revision still exists, so only the traffic moves. Adapters stay."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from remora.adapters.store import RELEASE_FILE, decode_release, release_folder
from remora.azure.apps import ContainerApp, Revision
from remora.azure.files import Share
from remora.errors import NotFound, Refused, RemoraError
from remora.rollout.candidate import RELEASE_VARIABLE, Before, look
from remora.rollout.former import read_moves, release_before
from remora.rollout.history import happened, record
from remora.rollout.lock import HeldLock
from remora.rollout.owner import check_owner
from remora.rollout.steps import Steps

_ADAPTERS_HINT = "to bring an adapter back: remora adapters rollback NAME"


@dataclass(frozen=True, slots=True)
class RolledBack:
    """From which release to which, and whether the revision had to be started first."""

    revision: str
    release: str
    former_revision: str
    former_release: str
    started: bool


def roll_back(
    app: ContainerApp,
    share: Share,
    lock: HeldLock,
    release: str | None,
    *,
    timeout_seconds: float,
    steps: Steps,
) -> RolledBack:
    """Give the traffic to the revision of a release, by default of the one that served before this one.

    Raises NotFound where there is none, Refused where it serves another base model than the adapters are for,
    or the share is another app's.
    """
    check_owner(share, app)
    before = look(app)
    wanted = release or _former_release(app, share, before)
    revision = _revision_of(before, wanted)
    _check_base(share, before.release, wanted)
    if not revision.active:
        with steps(f"starting {revision.name}, which was stopped") as say:
            app.activate(revision.name)
            app.wait_until_ready(revision.name, timeout_seconds=timeout_seconds, progress=say.now)
    lock.confirm()
    with steps(f"switching the traffic to {revision.name}"):
        app.direct(before.state.traffic.all_to(revision.name))
    with suppress(RemoraError):
        record(share, happened("rollback", app.name, before=before.release, after=wanted))
    return RolledBack(revision.name, wanted, before.serving, before.release, not revision.active)


def _former_release(app: ContainerApp, share: Share, before: Before) -> str:
    """What served before the release that serves now. Raises NotFound."""
    former = release_before(read_moves(share, app), before.release)
    if former:
        return former
    raise NotFound(
        f"the history knows no release before {before.release or 'this one'}",
        hint=f"name one: remora rollback RELEASE, see: remora history; {_ADAPTERS_HINT}",
    )


def _revision_of(before: Before, release: str) -> Revision:
    """The newest revision of a release, a running one first. Raises NotFound, or Refused: it serves."""
    if release == before.release:
        raise Refused(f"release {release} serves already", hint=_ADAPTERS_HINT)
    found = [one for one in before.revisions if one.environment.get(RELEASE_VARIABLE) == release]
    if not found:
        raise NotFound(
            f"the app has no revision of release {release!r} any more",
            hint="see: remora history; deploy its sources again: remora deploy",
        )
    return max(found, key=lambda one: (one.active, one.created))


def _check_base(share: Share, serving: str, wanted: str) -> None:
    """The adapters that are served now must fit the base model of the release."""
    bases = {release: _base_of(share, release) for release in (serving, wanted) if release}
    if len(set(bases.values())) > 1:
        raise Refused(
            f"release {wanted} serves another base model than the adapters of {serving} are for",
            hint="deploy the former sources, with their adapters: remora deploy",
        )


def _base_of(share: Share, release: str) -> str:
    path = release_folder(release) / RELEASE_FILE
    data = share.read(path)
    if data is None:
        raise NotFound(f"the share has no release {release!r}", hint="see: remora history")
    return decode_release(data, str(path)).base_digest
