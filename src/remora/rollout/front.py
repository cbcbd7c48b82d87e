"""The front of an app: brought to a release and its keys, checked, and only then given the traffic.

The model's release serves already. A front that fails its check is taken back, and the former one serves on:
no failure here reaches the model's app.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from remora.adapters.store import MANIFEST, RELEASE_FILE, decode_release, release_folder
from remora.azure.app.apps import (
    ADMIN_KEY_SECRET,
    ADMIN_KEY_VARIABLE,
    API_KEY_SECRET,
    API_KEY_VARIABLE,
    SECRETS_VARIABLE,
    ContainerApp,
)
from remora.azure.app.readiness import wait_until_ready
from remora.azure.app.scale import Scale
from remora.azure.share.files import Share
from remora.errors import NotReady, RemoraError
from remora.rollout.endpoint import Endpoint
from remora.rollout.revision.candidate import RELEASE_VARIABLE, Before, Candidate, look, stop_others
from remora.rollout.share.lock import HeldLock
from remora.rollout.share.plan import decode_manifest
from remora.rollout.steps import Steps
from remora.rollout.undo import or_back

UPSTREAM_VARIABLE: Final = "REMORA_FRONT_OF"
WAIT_VARIABLE: Final = "REMORA_FRONT_WAIT_SECONDS"
FRONT_SCALE: Final = Scale(1, 1)
_CODE: Final = ("code.zip", "requirements.txt", "start.py")
_SECRETS: Final = {API_KEY_SECRET: API_KEY_VARIABLE, ADMIN_KEY_SECRET: ADMIN_KEY_VARIABLE}
_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class FrontUpdated:
    """The front after a deploy: its public address, its revision, and why that is new ("" if it stays)."""

    url: str
    revision: str
    why: str


class FrontRollout:
    """One update of a front. The caller holds the lock of the share."""

    def __init__(
        self,
        front: ContainerApp,
        model: ContainerApp,
        lock: HeldLock,
        *,
        endpoint_scheme: str,
        wait_seconds: int,
        timeout_seconds: float,
        steps: Steps,
    ) -> None:
        self._front = lock.fence(front)
        self._model = model
        self._lock = lock
        self._scheme = endpoint_scheme
        self._wait_seconds = wait_seconds
        self._timeout_seconds = timeout_seconds
        self._steps = steps

    def run(self, model_name: str) -> FrontUpdated:
        """Bring the front to the release that serves, if its code or its keys changed, and ask it.

        Raises NotReady where the front does not start or passes nothing on; then the former one serves on.
        """
        before, release = look(self._front), look(self._model).release
        environment = self._wanted(before, release)
        why = self._why(before, environment)
        if not why:
            url = self._public_url(before)
            with self._steps("asking the front"):
                self._ask(url, model_name)
            return FrontUpdated(url, before.serving, "")
        environment |= self._take_keys()
        return self._replace(before, environment, why, model_name)

    def _replace(
        self, before: Before, environment: Mapping[str, str], why: str, model_name: str
    ) -> FrontUpdated:
        candidate = Candidate(self._front, before)
        with or_back(candidate.take_back, self._lock, self._steps):
            candidate.prepare((), self._steps)
            candidate.wake_serving(self._steps)
            with self._steps(f"starting the front: {why}") as say:
                name = candidate.start(environment, FRONT_SCALE, say)
                wait_until_ready(self._front, name, timeout_seconds=self._timeout_seconds, say=say)
                self._ask(f"{self._scheme}://{self._front.revision(name).fqdn}", model_name)
                candidate.switch()
                url = self._public_url(look(self._front))
                self._ask(url, model_name)
                say(f"the front passes everything on to {self._model.name}")
        stop_others(self._front, before, {name})
        return FrontUpdated(url, name, why)

    def _wanted(self, before: Before, release: str) -> dict[str, str]:
        """Its variables. Where the code is the same the release stays, and so does the revision."""
        same = before.release and same_front(self._lock.share, before.release, release)
        return {
            RELEASE_VARIABLE: before.release if same else release,
            UPSTREAM_VARIABLE: self._model.read().fqdn,
            WAIT_VARIABLE: str(self._wait_seconds),
        }

    def _why(self, before: Before, environment: Mapping[str, str]) -> str:
        """Why a new revision is needed; "" if the one with the traffic is up to date."""
        if not before.release:
            return "nothing runs in it yet"
        now = before.environment
        if changed := [name for name, value in environment.items() if now.get(name) != value]:
            return "its code changed" if RELEASE_VARIABLE in changed else f"changed: {', '.join(changed)}"
        if self._keys() != self._kept_keys():
            return "the keys changed"
        serving = next(one for one in before.revisions if one.name == before.serving)
        if before.state.latest_revision != before.serving:
            return "its settings in the template changed"
        return "" if serving.active and not serving.failed else "its revision does not run"

    def _keys(self) -> dict[str, str]:
        return {secret: self._model.given(variable).value for secret, variable in _SECRETS.items()}

    def _kept_keys(self) -> dict[str, str]:
        secrets = self._front.secrets()
        return {name: secrets.get(name, "") for name in _SECRETS}

    def _take_keys(self) -> dict[str, str]:
        """Give the front the model's keys; the variable that makes a revision with them."""
        keys = self._keys()
        if keys == self._kept_keys():
            return {}
        self._front.replace_secrets({name: value for name, value in keys.items() if value})
        return {SECRETS_VARIABLE: uuid.uuid4().hex}

    def _ask(self, url: str, model_name: str) -> None:
        """A real answer through the front. A replica that has just started may not be found at once."""
        deadline = time.monotonic() + self._timeout_seconds
        with Endpoint(url, self._model.api_key()) as endpoint:
            while True:
                try:
                    endpoint.chat(model_name, [{"role": "user", "content": "hi"}], max_tokens=1)
                    return
                except NotReady as error:
                    if time.monotonic() > deadline:
                        raise NotReady(
                            f"the front at {url} passes nothing on: {error.message}",
                            hint="see: remora logs --front",
                        ) from error
                time.sleep(_RETRY_SECONDS)

    def _public_url(self, now: Before) -> str:
        return f"{self._scheme}://{now.state.fqdn}"


def same_front(share: Share, running: str, wanted: str) -> bool:
    """Whether two releases on the share make the same front: their code, and how the endpoint is guarded."""
    if running == wanted:
        return True
    manifest = decode_manifest(share.read(MANIFEST))
    for name in _CODE:
        former, new = (manifest.get(release_folder(each) / name) for each in (running, wanted))
        if former is None or new is None or former.sha256 != new.sha256:
            return False
    try:
        former_serve, new_serve = (_serve_of(share, each) for each in (running, wanted))
    except RemoraError:
        return False
    return former_serve == new_serve


def _serve_of(share: Share, release: str) -> Mapping[str, str | int]:
    path = release_folder(release) / RELEASE_FILE
    data = share.read(path)
    return decode_release(data, str(path)).serve if data else {}
