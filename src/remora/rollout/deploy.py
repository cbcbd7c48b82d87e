"""A rollout: sync, candidate, ready, check, switch, settle, record. `Rollout.run` has the steps in order.

Clients notice nothing before the switch. A rollout that ends before its last check undoes all its changes; a
killed one leaves a candidate without traffic, which the next rollout reuses or removes. Every change,
including the undo, goes through the held lock; without the lock nothing is changed. The payload decides what
is rolled out, the turn how a revision gets to run it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

from remora.adapters.proof import Proof
from remora.azure.app.apps import ContainerApp
from remora.azure.app.readiness import wait_until_ready
from remora.errors import DeploymentNotFound, RemoraError
from remora.rollout.former import finish_interrupted
from remora.rollout.gates.check import Checked
from remora.rollout.golden.check import GoldenReport
from remora.rollout.payload import Load, Payload, Verdict
from remora.rollout.revision.candidate import Before, look
from remora.rollout.revision.failed_step import with_failed_step
from remora.rollout.revision.places import Choose, stops_first
from remora.rollout.revision.restart import Strategy
from remora.rollout.share.history import happened, record
from remora.rollout.share.lock import HeldLock
from remora.rollout.share.owner import claim
from remora.rollout.steps import Steps
from remora.rollout.turns import Replace, Restart, Stay, Turn
from remora.rollout.undo import Switched, or_back


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a rollout did.

    `seconds` is the time of each phase; `kept` is the revision that still runs without traffic, for a
    rollback ("" for none). `front` is the revision of the app before the model's, if there is one, and
    `url` is then its address. `program` names the user's own program, which requires no key and proves
    no adapter; None is Remora's. `measured` says how the adapters compare, if they were compared.
    """

    revision: str
    changed: bool
    uploaded_files: int
    uploaded_bytes: int
    kept_files: int
    url: str
    checked: Sequence[Checked] = ()
    golden: GoldenReport | None = None
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    kept: str = ""
    program: str | None = None
    restarted: bool = False
    measured: Sequence[str] = ()
    front: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)


class Rollout:
    """One rollout of a payload to an app. The caller holds the lock of its share.

    `switched` gets the revision's name once the switch stays. `choose` is called if there is no room for a
    candidate beside the serving revision.
    """

    def __init__(
        self,
        payload: Payload,
        app: ContainerApp,
        lock: HeldLock,
        *,
        endpoint_scheme: str,
        timeout_seconds: float,
        steps: Steps,
        choose: Choose,
        switched: Switched,
    ) -> None:
        self._payload = payload
        self._switched = switched
        self._lock = lock
        self._app = lock.fence(app)
        self._share = lock.share
        self._scheme = endpoint_scheme
        self._timeout_seconds = timeout_seconds
        self._steps = steps
        self._choose = choose
        self._event = ""
        self._note = ""
        self._seconds: dict[str, float] = {}

    def run(self, strategy: Strategy) -> Deployed:
        """Roll the payload out to share and app, and prove it with real answers.

        Without a change there is no new revision. Raises Refused if the share belongs to another app or the
        strategy does not fit, NotReady if the revision does not start, VerificationFailed if its answers are
        wrong; then, and on Ctrl+C, the former revision keeps serving. Raises Locked if another command has
        taken over the lock: then nothing is undone.
        """
        before = self._admitted(strategy)
        with self._recorded(before, strategy):
            load = self._compare(before)
            turn = self._turn(before, load, strategy)
            self._sync()
            with or_back(turn.back, self._lock, self._steps) if turn.moves else nullcontext():
                name = self._candidate(turn)
                self._until_ready(turn, name)
                verdict = self._check(turn, name)
                verdict = self._switch(turn, name, verdict)
            if turn.moves:
                self._switched.name = name
            kept = self._settle(turn)  # no undo: it would include the aliases
        return self._deployed(turn, name, load, verdict, kept)

    def _admitted(self, strategy: Strategy) -> Before:
        """Read what serves now, and refuse a rollout that is not allowed."""
        before = look(self._app)
        self._payload.admit(before, strategy)
        if self._payload.program is None:  # programs of the user's own may share a share, as AI Toolkit's do
            claim(self._share, self._app)
        return before

    def _compare(self, before: Before) -> Load:
        with self._timed("sync"):
            return self._payload.compare(self._share, before, self._steps)

    def _sync(self) -> None:
        with self._timed("sync"):
            self._payload.upload(self._share, self._steps)

    def _turn(self, before: Before, load: Load, strategy: Strategy) -> Turn:
        """Choose how the app gets to run the payload."""
        turn: Turn
        if strategy is Strategy.RESTART or (load.served and load.replaces):
            turn = Restart(self._app, before, self._finish(before), timeout_seconds=self._timeout_seconds)
        elif load.served:
            turn = Stay(self._app, before, self._finish(before))
        else:
            in_place = stops_first(self._app, before, load.scale, strategy, self._choose)
            turn = Replace(self._app, before, load, in_place=in_place)
        self._event = turn.event
        return turn

    def _finish(self, before: Before) -> Callable[[], None]:
        """A function that completes a rollout that was killed after its switch."""
        return lambda: finish_interrupted(self._app, self._share, before, self._payload.variable)

    def _candidate(self, turn: Turn) -> str:
        """Start the revision to wait for; moves no traffic."""
        if turn.moves:
            self._payload.stage(self._share)
        else:  # the serving revision runs it, and follows the share by itself
            self._payload.commit(self._share)
        with self._timed("revision"):
            turn.prepare(self._steps)
            with self._steps(turn.label) as say:
                name = turn.start(say)
                say(f"{turn.label}: {name}")
        return name

    def _until_ready(self, turn: Turn, name: str) -> None:
        with (
            self._timed("revision"),
            self._steps(f"waiting for revision {name}") as say,
            with_failed_step(self._app, name),
        ):
            wait_until_ready(self._app, name, timeout_seconds=self._timeout_seconds, say=say)
            say(f"revision {name} {turn.outcome}")

    def _check(self, turn: Turn, name: str) -> Verdict:
        """Check a candidate at its own address, the serving revision at the public one."""
        url = f"{self._scheme}://{self._app.revision(name).fqdn}" if turn.moves else self._public_url()
        with self._timed("check"):
            verdict = self._payload.check(url, name if turn.moves else "the endpoint", self._steps)
        self._note = "; ".join(verdict.measured)
        return verdict

    def _switch(self, turn: Turn, name: str, verdict: Verdict) -> Verdict:
        """Switch the traffic to a candidate, and ask again through the public address."""
        if not turn.moves:
            return verdict
        with self._timed("switch"):
            with self._steps(f"switching the traffic to {name}"):
                turn.switch()
            return replace(verdict, answers=self._payload.confirm(self._public_url(), self._steps))

    def _settle(self, turn: Turn) -> str:
        if turn.moves:
            self._payload.commit(self._share)
        return turn.settle()

    def _public_url(self) -> str:
        fqdn = self._app.read().fqdn
        if not fqdn:
            raise DeploymentNotFound(
                f"container app {self._app.name!r} has no ingress", hint="run: remora provision"
            )
        return f"{self._scheme}://{fqdn}"

    @contextmanager
    def _recorded(self, before: Before, strategy: Strategy) -> Iterator[None]:
        """Record the result in the history, if the share can be reached and the turn has an event."""
        self._event = "restart" if strategy is Strategy.RESTART else "deploy"
        result, message = "interrupted", ""
        try:
            yield
            result, message = "ok", self._note
        except RemoraError as error:
            result, message = error.code, error.message
            raise
        finally:
            if self._event:
                former = before.environment.get(self._payload.variable, "") if before.serving else ""
                event = happened(
                    self._event,
                    self._app.name,
                    before=former,
                    after=self._payload.content_id,
                    result=result,
                    message=message,
                )
                with suppress(RemoraError):
                    record(self._share, event)

    def _deployed(self, turn: Turn, name: str, load: Load, verdict: Verdict, kept: str) -> Deployed:
        return Deployed(
            revision=name,
            changed=turn.moves,
            uploaded_files=load.upload_files,
            uploaded_bytes=load.upload_bytes,
            kept_files=load.kept_files,
            url=self._public_url(),
            checked=verdict.answers,
            golden=verdict.golden,
            proofs=verdict.proofs,
            kept=kept,
            program=self._payload.program,
            restarted=turn.event == "restart",
            measured=verdict.measured,
            seconds=self._seconds,
        )

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[phase] = self._seconds.get(phase, 0.0) + time.monotonic() - started
