"""The two gates of a rollout: a revision's own address before it has traffic, the public one afterwards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from remora.adapters.adapter import Digest
from remora.azure.apps import ContainerApp
from remora.errors import DeploymentNotFound, VerificationFailed
from remora.rollout.check import Checked, check_endpoint
from remora.rollout.endpoint import Endpoint
from remora.rollout.golden import Golden
from remora.rollout.golden_check import GoldenReport, check_golden
from remora.rollout.steps import Steps

_PROPAGATION_SECONDS = 15.0
_RETRY_SECONDS = 0.2


class Gates:
    """What must answer: the base and these adapters, as the golden prompts say."""

    def __init__(
        self,
        app: ContainerApp,
        base_name: str,
        adapters: Mapping[str, Digest],
        golden: Golden,
        *,
        endpoint_scheme: str,
        timeout_seconds: float,
        steps: Steps,
    ) -> None:
        self._app = app
        self._base_name = base_name
        self._adapters = adapters
        self._golden = golden
        self._scheme = endpoint_scheme
        self._timeout_seconds = timeout_seconds
        self._steps = steps

    @property
    def public_url(self) -> str:
        """The app's address. Raises DeploymentNotFound where it has none."""
        fqdn = self._app.read().fqdn
        if not fqdn:
            raise DeploymentNotFound(
                f"container app {self._app.name!r} has no ingress", hint="run: remora provision"
            )
        return f"{self._scheme}://{fqdn}"

    def try_revision(self, name: str) -> GoldenReport:
        """Ask a revision at its own address. Raises VerificationFailed, NotReady."""
        return self._try(f"{self._scheme}://{self._app.revision(name).fqdn}", f"checking {name}")[1]

    def try_endpoint(self) -> tuple[Sequence[Checked], GoldenReport]:
        """Ask everything through the public address. Raises VerificationFailed, NotReady."""
        return self._try(self.public_url, "checking the endpoint")

    def confirm(self) -> Sequence[Checked]:
        """Ask every model one prompt through the public address, just after the traffic was switched.

        For a moment the former revision may still answer. Raises VerificationFailed, NotReady.
        """
        deadline = time.monotonic() + _PROPAGATION_SECONDS
        with self._endpoint(self.public_url) as endpoint, self._steps("asking the endpoint") as say:
            while True:
                try:
                    answers = self._ask(endpoint)
                    break
                except VerificationFailed:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_RETRY_SECONDS)
            say(f"{len(answers)} models answered through {endpoint.url}")
        return answers

    def _try(self, url: str, label: str) -> tuple[Sequence[Checked], GoldenReport]:
        with self._endpoint(url) as endpoint, self._steps(label) as say:
            answers = self._ask(endpoint)
            known = {each.answer.model: each.answer for each in answers}
            report = check_golden(endpoint, self._golden, known)
            report.require()
            say(f"{len(answers)} models answer; {report.summary}")
        return answers, report

    def _ask(self, endpoint: Endpoint) -> Sequence[Checked]:
        return check_endpoint(
            endpoint,
            self._base_name,
            self._adapters,
            self._golden.prompts,
            timeout_seconds=self._timeout_seconds,
        )

    def _endpoint(self, url: str) -> Endpoint:
        return Endpoint(url, self._app.api_key())
