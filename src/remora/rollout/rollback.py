"""Goes back to a former release: its revision still exists. Adapters stay.

If the revision runs, only the traffic moves. If it was stopped, it starts beside the serving one, or in its
place, in the same order as a deploy, and must answer before the switch. If it does not, all is undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from remora.adapters.store import RELEASE_FILE, Release, decode_release, release_folder
from remora.azure.app.apps import ContainerApp
from remora.azure.app.readiness import wait_until_ready
from remora.azure.app.state import Revision
from remora.azure.share.files import Share
from remora.errors import InvalidInput, NotFound, Refused, RemoraError
from remora.rollout.endpoint import Endpoint
from remora.rollout.former import read_moves, release_before
from remora.rollout.gates.check import check_endpoint
from remora.rollout.revision.candidate import (
    ADAPTERS_VARIABLE,
    RELEASE_VARIABLE,
    Before,
    Candidate,
    look,
)
from remora.rollout.revision.failed_step import with_failed_step
from remora.rollout.revision.places import Choose, stops_first
from remora.rollout.revision.restart import Strategy
from remora.rollout.share.alias_sets import served_aliases
from remora.rollout.share.history import happened, record
from remora.rollout.share.lock import HeldLock
from remora.rollout.share.owner import check_owner
from remora.rollout.steps import Steps
from remora.rollout.undo import or_back

_ADAPTERS_HINT = "to roll an adapter back: remora adapters rollback NAME"


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The release before and after.

    `started`: the revision had to be started first. `in_place`: the serving one was stopped for it, and
    nothing answered meanwhile.
    """

    revision: str
    release: str
    former_revision: str
    former_release: str
    started: bool
    in_place: bool


class Rollback:
    """One rollback of an app. The caller holds the lock of its share.

    `choose` is called if there is no room for the former revision beside the serving one.
    """

    def __init__(
        self, app: ContainerApp, lock: HeldLock, *, timeout_seconds: float, steps: Steps, choose: Choose
    ) -> None:
        self._app = lock.fence(app)
        self._lock = lock
        self._share = lock.share
        self._timeout_seconds = timeout_seconds
        self._steps = steps
        self._choose = choose

    def run(self, release: str | None, strategy: Strategy) -> RolledBack:
        """Switch the traffic to the revision of a release, by default the one that served before this one.

        Raises NotFound if there is none, Refused if it serves a different base model from that of the
        adapters, or if the share belongs to another app. Raises NotReady if the revision does not start,
        VerificationFailed if its answers are wrong; then, and on Ctrl+C, the serving revision serves on.
        """
        _check_strategy(strategy)
        check_owner(self._share, self._app)
        before = look(self._app)
        wanted = release or _former_release(self._app, self._share, before)
        revision = _revision_of(before, wanted)
        _check_base(self._share, before.release, wanted)
        in_place = self._stops_first(before, revision, strategy)
        candidate = Candidate(self._app, before, in_place=in_place)
        candidate.adopt(revision)
        starts = in_place or not revision.active or revision.ending
        with self._recorded(before.release, wanted), or_back(candidate.take_back, self._lock, self._steps):
            candidate.prepare({revision.name}, self._steps)
            if starts:
                where = "in place of" if in_place else "beside"
                with self._steps(f"starting {revision.name} {where} the serving one") as say:
                    candidate.resume(say)
                self._until_ready(revision.name)
                self._check(revision, wanted)
            with self._steps(f"switching the traffic to {revision.name}"):
                candidate.switch()
        candidate.settle()
        return RolledBack(revision.name, wanted, before.serving, before.release, starts, in_place)

    def _stops_first(self, before: Before, revision: Revision, strategy: Strategy) -> bool:
        """Whether the serving revision must stop before the former one can run; not if that runs."""
        if revision.active and revision.replicas and not revision.ending:
            return False
        return stops_first(self._app, before, revision.scale, strategy, self._choose)

    def _until_ready(self, name: str) -> None:
        with self._steps(f"waiting for revision {name}") as say, with_failed_step(self._app, name):
            wait_until_ready(self._app, name, timeout_seconds=self._timeout_seconds, say=say)
            say(f"revision {name} is ready, without traffic")

    def _check(self, revision: Revision, release: str) -> None:
        """Ask base and adapters one prompt each at the revision's own address."""
        served = served_aliases(self._share, revision.environment.get(ADAPTERS_VARIABLE, ""))
        base_name = _release_of(self._share, release).base_name
        url = f"{self._app.clients.profile.endpoint_scheme}://{self._app.revision(revision.name).fqdn}"
        with (
            self._steps(f"checking {revision.name}") as say,
            Endpoint(url, self._app.api_key()) as endpoint,
        ):
            answers = check_endpoint(
                endpoint,
                base_name,
                served.digests,
                (),
                timeout_seconds=self._timeout_seconds,
                tell=say.reason,
            )
            say(f"{len(answers)} models answer")

    @contextmanager
    def _recorded(self, former: str, wanted: str) -> Iterator[None]:
        """Record the result in the history, if the share can be reached."""
        result, message = "interrupted", ""
        try:
            yield
            result = "ok"
        except RemoraError as error:
            result, message = error.code, error.message
            raise
        finally:
            event = happened(
                "rollback", self._app.name, before=former, after=wanted, result=result, message=message
            )
            with suppress(RemoraError):
                record(self._share, event)


def _check_strategy(strategy: Strategy) -> None:
    if strategy is Strategy.RESTART:
        raise InvalidInput(
            "--strategy restart: a restarted revision runs the same release as before",
            hint="run: remora rollback --strategy in-place, or to restart: remora deploy --strategy restart",
            param="--strategy",
        )


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
    bases = {release: _release_of(share, release).base_digest for release in (serving, wanted) if release}
    if len(set(bases.values())) > 1:
        raise Refused(
            f"release {wanted} serves a different base model from that of the adapters of {serving}",
            hint="deploy the former sources, with their adapters: remora deploy",
        )


def _release_of(share: Share, release: str) -> Release:
    path = release_folder(release) / RELEASE_FILE
    data = share.read(path)
    if data is None:
        raise NotFound(f"the share has no release {release!r}", hint="see: remora history")
    return decode_release(data, str(path))
