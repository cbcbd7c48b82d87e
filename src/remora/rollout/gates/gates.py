"""The two gates of a rollout: at a revision's own address before it has traffic, then at the public one.

Owns what is asked; moves no traffic.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from remora.adapters.adapter import Digest
from remora.azure.app.apps import ContainerApp
from remora.errors import VerificationFailed
from remora.rollout.endpoint import Endpoint
from remora.rollout.gates.check import Checked, check_endpoint
from remora.rollout.gates.measuring import Measuring
from remora.rollout.gates.patient import PatientEndpoint, patience_of
from remora.rollout.gates.proving import prove_adapters
from remora.rollout.golden.check import check_golden
from remora.rollout.golden.prompts import Golden
from remora.rollout.payload import Verdict
from remora.rollout.steps import Step, Steps

_RETRY_SECONDS = 0.2


class Gates:
    """The checks of both gates: base and adapters answer as the golden prompts say, every adapter is proven.

    `allow_unproven` accepts an adapter even if no prompt shows that it changes anything. `measuring` compares
    the adapters with the base model, and with what serves.
    """

    def __init__(
        self,
        app: ContainerApp,
        base_name: str,
        golden: Golden,
        *,
        timeout_seconds: float,
        allow_unproven: bool = False,
        measuring: Measuring | None = None,
    ) -> None:
        self._app = app
        self._base_name = base_name
        self._golden = golden
        self._timeout_seconds = timeout_seconds
        self._allow_unproven = allow_unproven
        self._measuring = measuring

    def check(self, url: str, who: str, adapters: Mapping[str, Digest], steps: Steps) -> Verdict:
        """Run all checks at one address. Raises VerificationFailed, NotReady."""
        with self._patient(url) as endpoint:
            with steps(f"checking {who}") as say:
                answers = self._ask(url, adapters, say)
                known = {each.answer.model: each.answer for each in answers}
                report = check_golden(endpoint, self._golden, known)
                report.require()
                say(f"{len(answers)} models answer; {report.summary}")
            proofs = prove_adapters(
                endpoint,
                adapters,
                self._golden,
                steps,
                timeout_seconds=self._timeout_seconds,
                allow_unproven=self._allow_unproven,
            )
            measured = self._measuring.check(endpoint, adapters, steps) if self._measuring else ()
        return Verdict(answers, report, proofs, measured)

    def problems(self, url: str) -> dict[str, str]:
        """Why the endpoint at this address does not serve an adapter, by the adapter's name."""
        with self._endpoint(url) as endpoint:
            _, changes = endpoint.roster()
        return {each["name"]: each["problem"] for each in changes.get("failed") or ()}

    def confirm(self, url: str, adapters: Mapping[str, Digest], steps: Steps) -> Sequence[Checked]:
        """Ask every model one prompt through the public address, just after the traffic was switched.

        The former revision may still answer for a moment. Raises VerificationFailed, NotReady.
        """
        deadline = time.monotonic() + self._patience_seconds()
        with steps("asking the endpoint") as say:
            while True:
                try:
                    answers = self._ask(url, adapters, say)
                    break
                except VerificationFailed:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_RETRY_SECONDS)
            say(f"{len(answers)} models answered through {url}")
        return answers

    def _ask(self, url: str, adapters: Mapping[str, Digest], say: Step) -> Sequence[Checked]:
        """The first answers, which tell why they are late, and may take as long as the whole wait."""
        with self._endpoint(url) as endpoint:
            return check_endpoint(
                endpoint,
                self._base_name,
                adapters,
                self._golden.prompts,
                timeout_seconds=self._timeout_seconds,
                tell=say.reason,
            )

    def _endpoint(self, url: str) -> Endpoint:
        return Endpoint(url, self._app.api_key())

    def _patient(self, url: str) -> Endpoint:
        return PatientEndpoint(url, self._app.api_key(), patience_seconds=self._patience_seconds())

    def _patience_seconds(self) -> float:
        return patience_of(self._app.read().scale.min_replicas, self._timeout_seconds)
