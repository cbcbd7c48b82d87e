"""An endpoint that is asked again while no replica of it answers. Judges no answer.

On a machine with other work a replica that was ready misses its probes for a moment, and the ingress answers
for it. With several replicas that happens more often, and says nothing about the release.
"""

from __future__ import annotations

import time
from typing import Final

import httpx

from remora.errors import NotReady
from remora.rollout.endpoint import Endpoint, Json

RECOVERY_SECONDS: Final = 120.0
"""For each replica: how long all of them together may be away after they were ready."""
_NOBODY: Final = frozenset({502, 503, 504})
_RETRY_SECONDS = 0.5


def patience_of(replicas: int, timeout_seconds: float) -> float:
    """How many seconds to ask again: more with more replicas, and never longer than the whole wait."""
    return min(RECOVERY_SECONDS * max(replicas, 1), timeout_seconds)


class PatientEndpoint(Endpoint):
    """Repeats each request for `patience_seconds` while none of the replicas answers it."""

    def __init__(self, url: str, api_key: str, *, patience_seconds: float) -> None:
        super().__init__(url, api_key)
        self._patience_seconds = patience_seconds

    def _send(self, method: str, path: str, body: Json | None) -> httpx.Response:
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                response = super()._send(method, path, body)
            except NotReady:
                if time.monotonic() > deadline:
                    raise
            else:
                if response.status_code not in _NOBODY or time.monotonic() > deadline:
                    return response
            time.sleep(_RETRY_SECONDS)
